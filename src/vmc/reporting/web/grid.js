// The grid. Every prompt has a line of fixed height; its cells exist only near the screen, and videos are loaded only
// where they can be seen, so that thousands of them cost no more than a screenful.
const FILE = 0;
const grid = (() => {
  const { flags, fields } = json(find("common"));
  const [VALID, CORRECT, COPIED, CLIP, NEAREST] = ["valid", "motion_correct", "copied", "nearest_clip", "nearest_frame"]
    .map((flag) => 1 + flags.indexOf(flag));
  const stage = find("stage"), rows = find("rows"), head = find("head");
  let place = null, shown = [], hidden = new Set(), lines = [], seeds = [], visible = [], passing = () => true;

  const near = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) empty(target);
      else if (target.childElementCount === 0) fillLine(target);
    }
  }, { root: stage, rootMargin: "500px 0px" });

  function seedsOf(rows) {  // which of its prompt's seeds each row has: in test sets every subject has seeds of its own
    const counts = new Map();
    return rows.map(([subject, prompt]) => {
      const key = JSON.stringify([subject, prompt]), count = counts.get(key) ?? 0;
      counts.set(key, count + 1);
      return count;
    });
  }

  function empty(line) {
    loader.drop(line);
    line.replaceChildren();
  }

  function fillLine(line) {
    const number = Number(line.dataset.row), [subject, prompt, seed] = place.rows[number];
    const says = make("div", { className: "prompt" }, make("p", { textContent: prompt, title: prompt }));
    const about = [seed === null ? "" : `seed ${seed}`, (place.suites?.[number] ?? "").replaceAll("_", " ")].filter(Boolean).join(" · ");
    if (about) says.append(make("small", { textContent: about }));
    line.replaceChildren(says, ...shown.map((column) => cell(column, number)));
    line.setAttribute("aria-label", subject);
    dim([line]);
  }

  function cell(column, number) {
    const row = column.cells[number];
    if (row === null) return make("div", { className: "cell" }, loader.plate("not evaluated"));
    const said = marks(row), label = `${column.name}: ${place.rows[number][1]} ${said.map(([, text]) => text).join(", ")}`;
    return make("button", { className: "cell", "aria-label": label, onclick: () => detail.open(place, column, number) },
      row[FILE] === null ? loader.plate("video missing") : loader.screen(`${column.folder}/${row[FILE]}`),
      make("div", { className: "marks" }, ...spans(said)));
  }

  const right = (row) => row[CORRECT] && row[VALID] !== false;

  function marks(row) {  // a class and a text each
    const found = row[COPIED] ? [["copied", "≈ copied"]] : [];
    if (row[VALID] === false) found.unshift(["wrong", "✗ invalid"]);
    else if (row[CORRECT] !== null) found.unshift(row[CORRECT] ? ["right", "✓ right"] : ["wrong", "✗ wrong"]);
    return found;
  }

  function drawColumns() {
    stage.style.setProperty("--columns", shown.length);
    head.replaceChildren(make("div", { className: "corner" }), ...shown.map(({ name, colour, detail, state }) => {
      const dot = make("span", { className: "dot" });
      if (colour) dot.style.background = `color-mix(in oklab, ${colour}, white var(--tint))`;
      return make("div", {}, make("strong", { title: name }, dot, name), make("small", { className: "which", textContent: detail }),
        make("small", { className: "share" }), ...(state ? [make("small", { className: "state", textContent: state, title: state })] : []));
    }));
    for (const line of lines) if (line.childElementCount) { empty(line); fillLine(line); }
  }

  function drawShares() {  // of the rows that are shown, how many are right
    shown.forEach((column, index) => {
      const judged = visible.map((number) => column.cells[number]).filter((row) => row && row[CORRECT] !== null);
      const share = judged.length ? `right ${judged.filter(right).length} of ${judged.length}` : "";
      head.children[index + 1].querySelector(".share").textContent = share;
    });
    const all = place.rows.length;
    head.firstChild.textContent = `${visible.length === all ? all : `${visible.length} of ${all}`} prompts`;
  }

  function dim(some = lines) {  // cells that do not pass, of the lines that are filled
    for (const line of some) {
      const row = Number(line.dataset.row);
      [...line.children].slice(1).forEach((cell, index) => cell.classList.toggle("dim", !passing(shown[index].cells[row], shown[index])));
    }
  }

  function drawExemplars() {
    const box = find("exemplars");
    loader.drop(box);
    const films = place.exemplars.map(({ name, file }) => make("div", { className: "cell" },
      file ? loader.screen(`${place.folder}/${file}`) : loader.plate("clip missing"),
      make("div", { className: "marks", textContent: name, title: name })));
    box.hidden = films.length === 0;
    box.replaceChildren(make("h2", { textContent: "Exemplars: what was learned from" }), make("div", { className: "film" }, ...films));
    for (const note of place.notes) box.after(make("p", { className: "warn", textContent: note }));
  }

  return {
    fields, marks, CLIP, NEAREST, SCORES: 1 + flags.length,
    line: (number) => lines[number],
    get visible() { return visible; },
    get suites() { return [...new Set(place.suites)].filter(Boolean); },
    get measured() {  // a motion that no classifier knows is neither right nor wrong
      const rows = place.columns.flatMap(({ cells }) => cells).filter(Boolean);
      return { verdict: rows.some((row) => row[CORRECT] !== null), copied: rows.some((row) => row[COPIED] !== null) };
    },
    get seeds() { return Math.max(0, ...seeds) + 1; },  // of the subject that has most
    show(next) {
      for (const line of lines) { near.unobserve(line); empty(line); }
      stage.querySelectorAll(".warn").forEach((note) => note.remove());
      [place, shown, hidden, seeds] = [next, next.columns, new Set(), seedsOf(next.rows)];
      stage.style.setProperty("--aspect", place.aspect);
      player.length(place.frames, place.fps);
      drawExemplars();
      lines = place.rows.map((_, number) => make("div", { className: "line row", "data-row": number }));
      rows.replaceChildren(...lines);
      lines.forEach((line) => near.observe(line));
      drawColumns();
      stage.scrollTop = 0;
    },
    // Keep rows in which any arm (or the one at `within`) passes; cells that do not are dimmed.
    filter({ subject: text, seed, suite, verdict, copied, within }) {
      const words = text.toLowerCase().split(/\s+/).filter(Boolean), judged = verdict || copied;
      const test = (row) => row !== null
        && (!verdict || (row[CORRECT] !== null && right(row) === (verdict === "right")))
        && (!copied || (row[COPIED] !== null && row[COPIED] === (copied === "yes")));
      const arms = within === "" ? shown : place.columns.filter((_, index) => index === Number(within));
      passing = (row, column) => !judged || (arms.includes(column) && test(row));
      visible = [...place.rows.keys()].filter((number) => {
        const said = place.rows[number].slice(0, 2).join(" ").toLowerCase();
        return words.every((word) => said.includes(word)) && (seed === "" || seeds[number] === Number(seed))
          && (suite === "" || place.suites[number] === suite)
          && (!judged || arms.some((column) => test(column.cells[number])));
      });
      const kept = new Set(visible);
      lines.forEach((line, number) => { line.hidden = !kept.has(number); });
      dim();
      drawShares();
      find("nothing").hidden = visible.length > 0;
    },
    showArm(index, on) {
      if (on) hidden.delete(index); else hidden.add(index);
      shown = place.columns.filter((_, number) => !hidden.has(number));
      drawColumns();
    },
    scrollRow(by) {  // to the next line above or below the heading
      const top = stage.getBoundingClientRect().top + head.offsetHeight;
      const tops = visible.map((number) => lines[number].getBoundingClientRect().top - top);
      const at = by > 0 ? tops.find((y) => y > 4) : tops.findLast((y) => y < -4);
      stage.scrollBy({ top: at ?? (by > 0 ? 200 : -stage.scrollTop), behavior: "instant" });
    },
  };
})();

// What a click on a video shows: its scores, and the exemplar's frame that it is nearest to.
const detail = (() => {
  const dialog = find("detail"), made = find("made"), nearest = find("nearest");
  const { CLIP, NEAREST, SCORES } = grid;
  const shown = (value) => typeof value === "number" ? shownNumber(value, 4) : String(value ?? "—");
  let at = null;

  function open(place, column, number) {
    const row = column.cells[number];
    if (row === null) return false;
    at = { place, column, number };
    const [, prompt, seed] = place.rows[number];
    const clip = place.exemplars.find((one) => one.name === row[CLIP]), there = clip && clip.file;
    const scores = grid.fields.map((name, index) => [name, row[SCORES + index]]).filter(([, value]) => value !== null && value !== "");
    film(made, row[FILE] === null ? null : `${column.folder}/${row[FILE]}`, place.aspect);
    still(nearest, there ? `${place.folder}/${clip.file}` : null, clip, row[NEAREST]);
    find("asked").textContent = prompt;
    find("whose").textContent = [column.name, column.detail, seed === null ? "" : `seed ${seed}`, column.state].filter(Boolean).join(" · ");
    find("marks").replaceChildren(...spans(grid.marks(row)));
    find("made-says").textContent = row[FILE] === null ? "The video is missing." : "Generated";
    find("nearest-says").textContent = row[CLIP] === null ? "Not compared with the exemplars."
      : `Nearest exemplar: frame ${row[NEAREST] + 1} of clip ${row[CLIP]}${there ? "" : ", which is missing"}`;
    find("scores").replaceChildren(...scores.flatMap(([name, value]) => [make("dt", { textContent: name }), make("dd", { textContent: shown(value) })]));
    find("copying").textContent = row[CLIP] === null ? "" : "A video counts as copied where one of its frames is more similar than"
      + ` ${shown(column.threshold)} to the first frame of an exemplar. How similar it is to other frames does not count.`;
    if (!dialog.open) dialog.showModal();
    return true;
  }

  function film(video, source, aspect) {
    if (video.hasAttribute("src")) player.unload(video);
    video.style.setProperty("--aspect", aspect);
    if (source) player.load(video, source);
  }

  function still(video, source, clip, frame) {  // the middle of a frame's time, so that no rounding shows its neighbour
    video.onloadedmetadata = null;
    player.unload(video);
    video.style.setProperty("--aspect", 1);
    if (!source) return;
    video.preload = "auto";
    video.onloadedmetadata = () => { video.currentTime = ((frame + 0.5) / clip.frames) * video.duration; };
    video.src = source;
  }

  function move(by) {  // to the next row of those that are shown
    const { visible } = grid;
    for (let index = visible.indexOf(at.number) + by; index >= 0 && index < visible.length; index += by) {
      if (open(at.place, at.column, visible[index])) return grid.line(visible[index]).scrollIntoView({ block: "nearest" });
    }
  }

  dialog.onclose = () => { film(made, null, 1); still(nearest, null); };
  find("previous").onclick = () => move(-1);
  find("next").onclick = () => move(1);
  for (const each of document.querySelectorAll("dialog")) {
    each.onclick = (event) => { if (event.target === each || event.target.closest("[data-close]")) each.close(); };
  }
  return { open, move, get isOpen() { return dialog.open; } };
})();
