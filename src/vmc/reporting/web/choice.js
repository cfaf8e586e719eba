// A user study: pairs of videos in an order of each person's own, answers kept in the browser and saved as a CSV.
const study = json(find("study")), STORE = `vmc-choice-${study.page}`;
const sides = ["left", "right"], example = find("example").querySelector("video");
const screens = Object.fromEntries(sides.map((side) => [side, find(side).querySelector("video")]));

// --- what is kept: everybody who has answered in this browser, with answers of [question, pair, left, right, chosen, seconds]
const randomName = () => [...crypto.getRandomValues(new Uint8Array(6))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
let kept = load() ?? begin({ people: {} });

function load() {  // the browser may forbid it for files
  try {
    const found = JSON.parse(localStorage.getItem(STORE));
    return found && found.people[found.current] ? found : null;
  } catch { return null; }
}

function begin({ people }) {  // a new person; those who have not answered anything are forgotten
  const current = randomName(), answered = Object.entries(people).filter(([, { answers }]) => answers.length);
  return { current, people: { ...Object.fromEntries(answered), [current]: { name: "", answers: [] } } };
}

function keep() {
  try {
    localStorage.setItem(STORE, JSON.stringify(kept));
  } catch {
    warn("This browser keeps nothing: save your answers before you close the page.");
  }
}

function warn(text) {
  find("warning").textContent = text;
  find("warning").hidden = !text;
}

const person = () => kept.people[kept.current];

// --- the order: of each question's pairs, and which video stands on the left, drawn from the person's id alone
function generator(text) {  // FNV-1a into mulberry32: numbers from 0 to 1, the same in every browser
  let state = 0x811c9dc5;
  for (const char of text) state = Math.imul(state ^ char.codePointAt(0), 0x01000193);
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function trialsOf(rater) {
  return study.questions.flatMap((question) => {
    const draw = generator(`${study.page} ${rater} ${question.id}`), pairs = [...study.pairs];
    for (let last = pairs.length - 1; last > 0; last--) {  // Fisher and Yates
      const other = Math.floor(draw() * (last + 1));
      [pairs[last], pairs[other]] = [pairs[other], pairs[last]];
    }
    return pairs.map((pair) => {
      const videos = Object.keys(pair.videos);
      return { question, pair, videos: draw() < 0.5 ? videos : videos.reverse() };
    });
  });
}

let trials = trialsOf(kept.current), skipped = new Set(), trial = null, ready = 0, shownAt = 0;
const placeOf = (question, pair) => `${question} ${pair}`;
const answered = () => new Set(person().answers.map(([question, pair]) => placeOf(question, pair)));

// --- showing
function show() {
  const done = answered(), place = (one) => placeOf(one.question.id, one.pair.id);
  trial = trials.find((one) => !done.has(place(one)) && !skipped.has(place(one))) ?? null;
  Object.assign(find("progress"), { max: trials.length, value: done.size });
  find("count").textContent = `${done.size} of ${trials.length} answered`;
  find("undo").disabled = find("back").disabled = done.size === 0;
  for (const button of document.querySelectorAll(".export")) button.disabled = everybody().length === 0;
  const left = trials.length - done.size;
  find("result").textContent = left ? `${left} of ${trials.length} are not answered, because their videos did not play.`
    : `All ${trials.length} are answered. Save your answers and send the file to whoever gave you this page.`;
  open(trial ? "trial" : "end");
  if (trial) showTrial();
}

function open(part) {
  for (const one of ["begin", "trial", "end"]) find(one).hidden = one !== part;
  if (part !== "trial") [example, ...Object.values(screens)].forEach((video) => { if (video.hasAttribute("src")) player.unload(video); });
}

function showTrial() {
  const { question, pair, videos } = trial;
  find("question").textContent = question.text;
  find("prompt").textContent = `“${pair.text}”`;
  find("prompt").hidden = question.id !== "text";
  find("example").hidden = question.id !== "motion";
  find("skip").hidden = true;
  ready = 0;
  warn("");
  sides.forEach((side, index) => {
    find(side).disabled = true;
    player.unload(screens[side]);
    player.load(screens[side], pair.videos[videos[index]]);
  });
  if (question.id === "motion" && example.getAttribute("src") !== pair.example) example.src = pair.example;
  if (!still) [player.play(), example.play().catch(() => {})];
}

const still = matchMedia("(prefers-reduced-motion: reduce)").matches;  // who wants less motion starts the videos

function loaded() {
  ready += 1;
  if (ready < sides.length) return;
  for (const side of sides) find(side).disabled = false;
  shownAt = performance.now();
}

function broken() {
  warn("A video of this pair does not play here.");
  find("skip").hidden = false;
}

function again() {
  player.seek(0);
  player.play();
  if (!find("example").hidden) {
    example.currentTime = 0;
    example.play().catch(() => {});
  }
}

// --- answering
function choose(side) {
  if (!trial || find(side).disabled) return;
  const { question, pair, videos } = trial, seconds = ((performance.now() - shownAt) / 1000).toFixed(2);
  person().answers.push([question.id, pair.id, ...videos, videos[sides.indexOf(side)], seconds]);
  keep();
  show();
}

function undo() {
  person().answers.pop();
  keep();
  show();
}

const everybody = () => Object.entries(kept.people).filter(([, { answers }]) => answers.length);

function save() {
  // A spreadsheet would take a name that begins so for a formula.
  const cell = (text) => `"${String(text).replace(/^[=+\-@\t\r]/, "'$&").replaceAll('"', '""')}"`;
  const rows = everybody().flatMap(([rater, { name, answers }]) => answers.map(([question, ...others]) => [study.page, rater, name, question, ...others]));
  const text = [study.columns, ...rows].map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
  const link = make("a", { href: URL.createObjectURL(new Blob([text], { type: "text/csv" })), download: `choice-${study.page}-${kept.current}.csv` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function welcome() {
  const many = trials.length, some = person().answers.length;
  find("task").textContent = `You will choose ${many} times${study.questions.length > 1 ? ", first by one question, then by another" : ""}: ${study.questions.map(({ text }) => text).join(" — ")}`;
  find("name").value = person().name;
  find("start").textContent = some ? "Go on" : "Begin";
  find("count").textContent = `${some} of ${many} answered`;
  Object.assign(find("progress"), { max: many, value: some });
  open("begin");
}

const KEYS = { ArrowLeft: () => choose("left"), ArrowRight: () => choose("right"), " ": again, Backspace: undo };

function onKey(event) {
  const { key, target } = event;
  if (event.ctrlKey || event.metaKey || event.altKey || find("trial").hidden || !KEYS[key]) return;
  // A button keeps the space that works it, but those of the videos: Enter chooses them.
  if (key === " " && target.matches("button") && !sides.includes(target.id)) return;
  event.preventDefault();
  if (!event.repeat && !(key === "Backspace" && find("undo").disabled)) KEYS[key]();
}

document.addEventListener("keydown", onKey);
// Firefox clicks a focused button when space is released.
document.addEventListener("keyup", (event) => { if (event.key === " " && sides.includes(event.target.id)) event.preventDefault(); });
addEventListener("storage", (event) => {  // the same page in another tab
  if (event.key !== STORE || !load()) return;
  kept = load();
  trials = trialsOf(kept.current);
  if (find("begin").hidden) show();
});
for (const side of sides) {
  find(side).onclick = () => choose(side);
  screens[side].onloadeddata = loaded;
  screens[side].onerror = () => { if (screens[side].hasAttribute("src")) broken(); };
}
find("again").onclick = again;
find("undo").onclick = find("back").onclick = undo;
find("skip").onclick = () => { skipped.add(placeOf(trial.question.id, trial.pair.id)); show(); };
for (const button of document.querySelectorAll(".export")) button.onclick = save;
find("named").hidden = !study.named;
find("start").onclick = () => { person().name = find("name").value.trim(); keep(); show(); };
find("next").onclick = () => {
  kept = begin(kept);
  [trials, skipped] = [trialsOf(kept.current), new Set()];
  keep();
  welcome();
};
document.documentElement.style.setProperty("--aspect", study.aspect);
player.length(study.frames, study.fps);
welcome();
