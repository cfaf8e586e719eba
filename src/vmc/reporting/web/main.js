// Tabs, the fields of filters (grid.js decides what passes them), keys, light and dark.
const TABS = ["videos", "curves", "tables", "figures"];
const FILTERS = ["subject", "seed", "suite", "verdict", "copied", "within"];
const ORDER = ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"];
const placeTexts = [...document.querySelectorAll("script.place")];
const root = document.documentElement, dark = matchMedia("(prefers-color-scheme: dark)");

function showTab(name) {
  for (const tab of TABS) {
    find(tab).hidden = tab !== name;
    document.querySelector(`[data-tab="${tab}"]`).setAttribute("aria-selected", String(tab === name));
  }
  if (name === "curves") chart.draw();
  history.replaceState(null, "", `#${name}`);
}

function applyFilters() {
  if (placeTexts.length) grid.filter(Object.fromEntries(FILTERS.map((id) => [id, find(id).value])));
}

function clearFilters() {
  for (const id of FILTERS) find(id).value = "";
  applyFilters();
}

function showPlace(index) {
  const place = json(placeTexts[index]);
  grid.show(place);
  const seeds = Array.from({ length: grid.seeds }, (_, index) => [index, ORDER[index] ? `${ORDER[index]} seed` : `seed no. ${index + 1}`]);
  fill(find("seed"), [["", "all seeds"], ...seeds]);
  find("seed").hidden = seeds.length < 2;
  fill(find("suite"), [["", "all suites"], ...grid.suites.map((suite) => [suite, suite.replaceAll("_", " ")])]);
  find("suite").hidden = grid.suites.length < 2;
  find("verdict").hidden = !grid.measured.verdict;
  find("copied").hidden = !grid.measured.copied;
  find("within").hidden = find("arms").hidden = place.columns.length < 2;
  fill(find("within"), [["", "in any arm"], ...place.columns.map((column, number) => [number, `in ${column.name}`])]);
  find("arms").querySelector("div").replaceChildren(...place.columns.map((column, number) => {
    const onchange = (event) => { grid.showArm(number, event.target.checked); applyFilters(); };
    return make("label", {}, make("input", { type: "checkbox", checked: true, onchange }), ` ${column.name}`);
  }));
  clearFilters();
}

const remembered = {  // the browser may forbid it for files
  get theme() { try { return localStorage.getItem("vmc-theme"); } catch { return null; } },
  set theme(value) { try { localStorage.setItem("vmc-theme", value); } catch { /* then it is not remembered */ } },
};
const setTheme = () => { root.dataset.theme = remembered.theme ?? (dark.matches ? "dark" : "light"); };
const toggleTheme = () => { remembered.theme = root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark"; };
const typing = (element) => element.matches("input[type=search], select, textarea");

const KEYS = {
  " ": () => player.toggle(),
  ArrowLeft: () => player.step(-1),
  ArrowRight: () => player.step(1),
  ArrowUp: () => (detail.isOpen ? detail.move(-1) : grid.scrollRow(-1)),
  ArrowDown: () => (detail.isOpen ? detail.move(1) : grid.scrollRow(1)),
  "/": () => { showTab("videos"); find("filters").classList.add("open"); find("subject").focus(); find("subject").select(); },
};

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const { key, target } = event, free = !document.querySelector("dialog[open]");  // which Escape closes by itself
  if (key === "Escape") {
    if (!free) return;
    if (find("arms").open) find("arms").open = false;
    else if (typing(target)) target.blur();
    else clearFilters();
  }
  if (key === "Escape" || typing(target)) return;
  if (free && "1234".includes(key)) return showTab(TABS[Number(key) - 1]);
  if (key === "t") return toggleTheme();
  if (key === "?" && free) return find("keys").showModal();
  // A control keeps the keys that work it; the videos' own buttons leave space to playing, Enter opens them.
  if (key === " " && target.matches("button:not(.cell, #play), summary, input[type=checkbox], a")) return;
  if (find("videos").hidden || find("keys").open || (key === "/" && !free) || !KEYS[key] || !placeTexts.length) return;
  event.preventDefault();
  KEYS[key]();
}

function listen() {
  let waiting = 0;
  dark.addEventListener("change", setTheme);
  document.addEventListener("keydown", onKey);
  // Firefox clicks a focused button when space is released.
  document.addEventListener("keyup", (event) => { if (event.key === " " && event.target.matches("button.cell, #play")) event.preventDefault(); });
  document.addEventListener("pointerdown", (event) => { if (!find("arms").contains(event.target)) find("arms").open = false; });
  for (const tab of document.querySelectorAll("[data-tab]")) {
    tab.onclick = () => {
      showTab(tab.dataset.tab);
      if (tab.dataset.tab === "videos") find("stage").focus({ preventScroll: true });  // so that space plays
    };
  }
  find("theme").onclick = toggleTheme;
  find("help").onclick = () => find("keys").showModal();
  find("play").onclick = () => player.toggle();
  find("scrub").oninput = (event) => player.seek(Number(event.target.value));
  find("speed").onchange = (event) => { player.speed = Number(event.target.value); };
  find("size").onchange = resize;
  find("more").onclick = () => find("more").setAttribute("aria-expanded", String(find("filters").classList.toggle("open")));
  find("place").onchange = (event) => showPlace(Number(event.target.value));
  find("subject").oninput = () => { clearTimeout(waiting); waiting = setTimeout(applyFilters, 80); };
  for (const id of FILTERS.slice(1)) find(id).onchange = applyFilters;
  find("clear").onclick = clearFilters;
  player.listen(({ frame, frames, playing }) => {
    Object.assign(find("scrub"), { max: frames - 1, value: frame });
    find("frame").textContent = innerWidth > 640 ? `frame ${frame + 1} of ${frames}` : `${frame + 1} / ${frames}`;
    find("play").textContent = playing ? "❚❚" : "▶";
    find("play").setAttribute("aria-pressed", String(playing));
  });
}

const resize = () => find("stage").style.setProperty("--cell", `${find("size").value}px`);

setTheme();
listen();
if (innerWidth <= 640) find("size").value = "108";
resize();
fill(find("place"), placeTexts.map((text, index) => [index, text.dataset.label]));
find("place").hidden = placeTexts.length < 2;
if (placeTexts.length) {
  showPlace(0);
  if (!matchMedia("(prefers-reduced-motion: reduce)").matches) player.play();
} else {
  find("nothing").textContent = "No run has been evaluated yet.";
  find("nothing").hidden = false;
}
showTab(TABS.includes(location.hash.slice(1)) ? location.hash.slice(1) : "videos");
