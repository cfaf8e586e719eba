// Tabs, filters, keys, light and dark.
const TABS = ["videos", "curves", "tables", "figures"];
const FILTERS = ["subject", "seed", "verdict", "copied", "within"];
const ORDER = ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"];
const placeTexts = [...document.querySelectorAll("script.place")];

function showTab(name) {
  for (const tab of TABS) {
    find(tab).hidden = tab !== name;
    document.querySelector(`[data-tab="${tab}"]`).setAttribute("aria-selected", String(tab === name));
  }
  if (name === "curves") chart.draw();
  history.replaceState(null, "", `#${name}`);
}

function applyFilters() {
  if (placeTexts.length === 0) return;
  const value = (id) => find(id).value;
  grid.filter({ text: value("subject"), seed: value("seed"), verdict: value("verdict"), copied: value("copied"), within: value("within") });
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
  fill(find("within"), [["", "in any arm"], ...place.columns.map((column, number) => [number, `in ${column.name}`])]);
  find("arms").querySelector("div").replaceChildren(...place.columns.map((column, number) => {
    const box = make("input", { type: "checkbox", checked: true });
    box.addEventListener("change", () => { grid.showArm(number, box.checked); applyFilters(); });
    return make("label", {}, box, ` ${column.name}`);
  }));
  clearFilters();
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
}

function toggleTheme() {
  const theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  setTheme(theme);
  remembered.set("theme", theme);
}

function resize() {
  find("stage").style.setProperty("--cell", `${find("size").value}px`);
}

const typing = (element) => element.matches("input[type=search], select, textarea");

function onEscape(event) {
  if (document.querySelector("dialog[open]")) return;  // which it closes by itself
  if (find("arms").open) find("arms").open = false;
  else if (typing(event.target)) event.target.blur();
  else clearFilters();
}

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
  if (event.key === "Escape") return onEscape(event);
  if (typing(event.target)) return;
  const free = !document.querySelector("dialog[open]");
  if (free && "1234".includes(event.key)) return showTab(TABS[Number(event.key) - 1]);
  if (event.key === "t") return toggleTheme();
  if (event.key === "?" && free) return find("keys").showModal();
  // A control keeps the keys that work it; the videos' own buttons leave space to playing, Enter opens them.
  if (event.key === " " && event.target.matches("button:not(.cell, #play), summary, input[type=checkbox], a")) return;
  if (find("videos").hidden || find("keys").open || (event.key === "/" && !free)) return;
  const act = KEYS[event.key];
  if (!act || placeTexts.length === 0) return;
  event.preventDefault();
  act();
}

function start() {
  const wanted = matchMedia("(prefers-color-scheme: dark)");
  setTheme(remembered.get("theme") ?? (wanted.matches ? "dark" : "light"));
  wanted.addEventListener("change", () => { if (remembered.get("theme") === null) setTheme(wanted.matches ? "dark" : "light"); });
  find("theme").addEventListener("click", toggleTheme);
  find("help").addEventListener("click", () => find("keys").showModal());
  document.querySelectorAll("[data-tab]").forEach((tab) => tab.addEventListener("click", () => {
    showTab(tab.dataset.tab);
    if (tab.dataset.tab === "videos") find("stage").focus({ preventScroll: true });  // so that space plays
  }));
  document.addEventListener("keydown", onKey);
  // Firefox clicks a focused button when space is released.
  document.addEventListener("keyup", (event) => { if (event.key === " " && event.target.matches("button.cell, #play")) event.preventDefault(); });
  document.addEventListener("pointerdown", (event) => { if (!find("arms").contains(event.target)) find("arms").open = false; });

  find("play").addEventListener("click", () => player.toggle());
  find("scrub").addEventListener("input", (event) => player.seek(Number(event.target.value)));
  find("speed").addEventListener("change", (event) => { player.speed = Number(event.target.value); });
  find("size").addEventListener("change", resize);
  find("more").addEventListener("click", () => {
    const open = find("filters").classList.toggle("open");
    find("more").setAttribute("aria-expanded", String(open));
  });
  player.listen(({ frame, frames, playing }) => {
    find("scrub").max = frames - 1;
    find("scrub").value = frame;
    find("frame").textContent = innerWidth > 640 ? `frame ${frame + 1} of ${frames}` : `${frame + 1} / ${frames}`;
    find("play").textContent = playing ? "❚❚" : "▶";
    find("play").setAttribute("aria-pressed", String(playing));
  });
  let waiting = 0;
  find("subject").addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(applyFilters, 80); });
  for (const id of FILTERS.slice(1)) find(id).addEventListener("change", applyFilters);
  find("clear").addEventListener("click", clearFilters);

  if (innerWidth <= 640) find("size").value = "108";
  resize();
  fill(find("place"), placeTexts.map((text, index) => [index, text.dataset.label]));
  find("place").hidden = placeTexts.length < 2;
  find("place").addEventListener("change", (event) => showPlace(Number(event.target.value)));
  if (placeTexts.length) {
    showPlace(0);
    if (!matchMedia("(prefers-reduced-motion: reduce)").matches) player.play();
  } else {
    find("nothing").textContent = "No run has been evaluated yet.";
    find("nothing").hidden = false;
  }
  const asked = location.hash.slice(1);
  showTab(TABS.includes(asked) ? asked : "videos");
}

start();
