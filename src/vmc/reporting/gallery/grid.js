// The grid. Every prompt has a line of fixed height; its cells exist only near the screen, and videos are loaded only
// where they can be seen, so that thousands of them cost no more than a screenful.
const FILE = 0;
const grid = (() => {
  const common = json(find("common"));
  const VALID = 1 + common.flags.indexOf("valid"), CORRECT = 1 + common.flags.indexOf("motion_correct");
  const COPIED = 1 + common.flags.indexOf("copied"), CLIP = 1 + common.flags.indexOf("nearest_clip");
  const NEAREST = 1 + common.flags.indexOf("nearest_frame"), SCORES = 1 + common.flags.length;
  const stage = find("stage"), rows = find("rows"), head = find("head");
  let place = null, shown = [], hidden = new Set(), lines = [], seeds = [], visible = [], passing = () => true;

  const near = new IntersectionObserver(seeLines, { root: stage, rootMargin: "500px 0px" });

  function seeLines(entries) {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) empty(target);
      else if (target.childElementCount === 0) furnish(target);
    }
  }

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

  function furnish(line) {
    const number = Number(line.dataset.row), [subject, prompt, seed] = place.rows[number];
    const says = make("div", { className: "prompt" }, make("p", { textContent: prompt, title: prompt }));
    if (seed !== null) says.append(make("small", { textContent: `seed ${seed}` }));
    line.replaceChildren(says, ...shown.map((column) => cell(column, number)));
    line.setAttribute("aria-label", subject);
    dim([line]);
  }

  function cell(column, number) {
    const row = column.cells[number];
    if (row === null) return make("div", { className: "cell" }, make("div", { className: "screen", textContent: "not evaluated" }));
    const source = row[FILE] === null ? null : `${column.folder}/${row[FILE]}`;
    const marks = marksOf(row);
    const button = make("button", { className: "cell" });
    button.append(source ? loader.screen(source) : make("div", { className: "screen", textContent: "video missing" }));
    button.append(make("div", { className: "marks" }, ...marks.map(([kind, text]) => make("span", { className: kind, textContent: text }))));
    button.setAttribute("aria-label", `${column.name}: ${place.rows[number][1]} ${marks.map(([, text]) => text).join(", ")}`);
    button.addEventListener("click", () => detail.open(place, column, number));
    return button;
  }

  function marksOf(row) {
    const marks = [];
    if (row[VALID] === false) marks.push(["wrong", "✗ invalid"]);
    else if (row[CORRECT] !== null) marks.push(row[CORRECT] ? ["right", "✓ right"] : ["wrong", "✗ wrong"]);
    if (row[COPIED]) marks.push(["copied", "≈ copied"]);
    return marks;
  }

  function drawHead() {
    const names = shown.map((column) => {
      const dot = make("span", { className: "dot" });
      if (column.colour) dot.style.background = `color-mix(in oklab, ${column.colour}, white var(--tint))`;
      const cell = make("div", {}, make("strong", { title: column.name }, dot, column.name), make("small", { className: "which", textContent: column.detail }));
      cell.append(make("small", { className: "share" }));
      if (column.state) cell.append(make("small", { className: "state", textContent: column.state, title: column.state }));
      return cell;
    });
    head.replaceChildren(make("div", { className: "corner" }), ...names);
  }

  function drawShares() {  // of the rows that are shown, how many are right
    shown.forEach((column, index) => {
      const judged = visible.map((number) => column.cells[number]).filter((row) => row && row[CORRECT] !== null);
      const right = judged.filter((row) => row[CORRECT] && row[VALID] !== false).length;
      head.children[index + 1].querySelector(".share").textContent = judged.length ? `right ${right} of ${judged.length}` : "";
    });
    const count = visible.length === place.rows.length ? `${place.rows.length}` : `${visible.length} of ${place.rows.length}`;
    head.firstChild.textContent = `${count} prompts`;
  }

  function drawColumns() {
    stage.style.setProperty("--columns", shown.length);
    drawHead();
    for (const line of lines) if (line.childElementCount) { empty(line); furnish(line); }
  }

  function dim(some = lines) {  // cells that do not pass, of the lines that are furnished
    for (const line of some) {
      const row = Number(line.dataset.row);
      [...line.children].slice(1).forEach((cell, index) => {
        cell.classList.toggle("dim", !passing(shown[index].cells[row], shown[index]));
      });
    }
  }

  function drawExemplars() {
    const box = find("exemplars");
    loader.drop(box);
    const films = place.exemplars.map(({ name, file }) => make(
      "div", { className: "cell" },
      file ? loader.screen(`${place.folder}/${file}`) : make("div", { className: "screen", textContent: "clip missing" }),
      make("div", { className: "marks", textContent: name, title: name }),
    ));
    box.hidden = films.length === 0;
    box.replaceChildren(make("h2", { textContent: "Exemplars: what was learned from" }), make("div", { className: "film" }, ...films));
    for (const note of place.notes) box.after(make("p", { className: "warn", textContent: note }));
  }

  return {
    get columns() { return place ? place.columns : []; },
    get visible() { return visible; },
    get seeds() { return Math.max(0, ...seeds) + 1; },  // of the subject that has most
    show(next) {
      for (const line of lines) { near.unobserve(line); empty(line); }
      stage.querySelectorAll(".warn").forEach((note) => note.remove());
      place = next;
      hidden = new Set();
      shown = place.columns;
      seeds = seedsOf(place.rows);
      stage.style.setProperty("--aspect", place.aspect);
      player.length(place.frames, place.fps);
      drawExemplars();
      lines = place.rows.map((_, number) => {
        const line = make("div", { className: "line row" });
        line.dataset.row = number;
        return line;
      });
      rows.replaceChildren(...lines);
      lines.forEach((line) => near.observe(line));
      drawColumns();
      stage.scrollTop = 0;
    },
    // Keep rows in which any arm (or the one at `within`) passes; cells that do not are dimmed.
    filter({ text, seed, verdict, copied, within }) {
      const words = text.toLowerCase().split(/\s+/).filter(Boolean);
      const test = (row) => row !== null
        && (!verdict || (row[CORRECT] !== null && (row[CORRECT] && row[VALID] !== false) === (verdict === "right")))
        && (!copied || (row[COPIED] !== null && row[COPIED] === (copied === "yes")));
      const judged = verdict || copied;
      const arms = within === "" ? shown : place.columns.filter((_, index) => index === Number(within));
      passing = (row, column) => !judged || (arms.includes(column) && test(row));
      visible = [];
      place.rows.forEach(([subject, prompt], number) => {
        const said = `${subject} ${prompt}`.toLowerCase();
        const pass = words.every((word) => said.includes(word)) && (seed === "" || seeds[number] === Number(seed))
          && (!judged || arms.some((column) => test(column.cells[number])));
        lines[number].hidden = !pass;
        if (pass) visible.push(number);
      });
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
    row: (number) => ({ marks: marksOf, CLIP, NEAREST, SCORES, fields: common.fields, line: lines[number] }),
  };
})();
