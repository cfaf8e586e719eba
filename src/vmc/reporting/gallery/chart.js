// Fig. 7, to look into: arms can be left out, and the point nearest to the pointer says what it is.
const chart = (() => {
  const { sets, panels, bands } = json(find("charts"));
  const WIDTH = 460, HEIGHT = 280, LEFT = 52, RIGHT = 12, TOP = 10, BOTTOM = 40;
  const VALUE = 2, LOW = 3, HIGH = 4, WHOLE = 5;
  const off = new Set(), tip = find("tip");
  let drawn = false;

  const shownNumber = (value, digits) => value.toFixed(digits).replace("-", "−");
  const current = () => sets[Number(find("set").value) || 0];
  const column = () => Number(find("axis").value);
  const known = (points) => points.filter((point) => point[column()] !== null && point[VALUE] !== null);

  function ticks(low, high, count) {
    const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= rough);
    const from = Math.ceil(low / step - 1e-9);
    return Array.from({ length: Math.max(0, Math.floor(high / step + 1e-9) - from + 1) }, (_, index) => (from + index) * step);
  }

  // Curves can be read where bands of few runs reach far beyond them; there is room for those that are shown only on a hover.
  function limits(arms, panel) {
    const points = arms.flatMap((arm) => known(arm.points[panel.name]));
    const values = points.map((point) => point[VALUE]);
    for (const arm of arms) for (const run of arm.runs) values.push(...known(run[panel.name]).map((point) => point[VALUE]));
    if (panel.threshold !== null) values.push(panel.threshold);
    if (values.length === 0) return [0, 1];
    const least = Math.min(...values), most = Math.max(...values);
    const room = Math.max(0.5 * (most - least), panel.digits === 1 ? 10 : 0.01);
    const ends = (index, pick, other) => find("bands").checked ? pick(other, ...points.map((point) => point[index] ?? other)) : other;
    const low = Math.max(least - room, ends(LOW, Math.min, least)), high = Math.min(most + room, ends(HIGH, Math.max, most));
    const edge = 0.05 * (high - low) || 0.01;
    return [low - edge, high + edge];
  }

  function panelOf(panel, arms) {
    const every = arms.flatMap((arm) => [arm.points[panel.name], ...arm.runs.map((run) => run[panel.name])]).flatMap(known);
    const last = Math.max(1, ...every.map((point) => point[column()]));
    const [low, high] = limits(arms, panel);
    const x = (value) => LEFT + (value / last) * (WIDTH - LEFT - RIGHT);
    const y = (value) => TOP + ((high - value) / (high - low)) * (HEIGHT - TOP - BOTTOM);
    const clip = `clip-${panel.name}`;
    const svg = draw("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `${panel.title} by arm` });
    svg.append(draw("clipPath", { id: clip }, draw("rect", { x: LEFT - 5, y: TOP - 5, width: WIDTH - LEFT - RIGHT + 10, height: HEIGHT - TOP - BOTTOM + 10 })));
    const marks = ticks(low, high, 5), digits = marks.length > 1 ? Math.max(0, -Math.floor(Math.log10(marks[1] - marks[0]) + 1e-9)) : panel.digits;
    for (const value of marks) {
      svg.append(draw("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value) }));
      svg.append(draw("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, shownNumber(value, digits)));
    }
    for (const value of ticks(0, last, 5)) svg.append(draw("text", { x: x(value), y: HEIGHT - BOTTOM + 17, "text-anchor": "middle" }, String(value)));
    svg.append(draw("text", { x: (LEFT + WIDTH - RIGHT) / 2, y: HEIGHT - 5, "text-anchor": "middle" }, find("axis").selectedOptions[0].text));
    if (panel.threshold !== null) svg.append(draw("line", { class: "limit", x1: LEFT, x2: WIDTH - RIGHT, y1: y(panel.threshold), y2: y(panel.threshold) }));
    const inside = draw("g", { "clip-path": `url(#${clip})` });
    svg.append(inside);
    // The first, the method, lies on top; bands lie below all lines.
    const below = arms.toReversed();
    inside.append(...below.map((arm) => bandOf(arm, panel, x, y)), ...below.map((arm) => lineOf(arm, panel, x, y)));
    if (every.length === 0) svg.append(draw("text", { x: WIDTH / 2, y: HEIGHT / 2, "text-anchor": "middle" }, "not measured"));
    svg.addEventListener("pointermove", (event) => look(event, svg, panel, arms, x, y));
    svg.addEventListener("pointerdown", (event) => look(event, svg, panel, arms, x, y));
    svg.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") forget(); });
    return make("div", { className: "panel" }, make("h2", { textContent: panel.title }), svg);
  }

  function group(arm) {
    const element = draw("g", { class: arm.colour ? "arm" : "arm method", "data-arm": arm.arm });
    if (arm.colour) element.style.setProperty("--colour", arm.colour);
    return element;
  }

  function bandOf(arm, panel, x, y) {
    const points = known(arm.points[panel.name]).filter((point) => point[LOW] !== null && point[HIGH] !== null), element = group(arm);
    if (find("bands").checked && points.length > 1) {
      const edge = [...points.map((point) => [point[column()], point[HIGH]]), ...points.toReversed().map((point) => [point[column()], point[LOW]])];
      element.append(draw("polygon", { class: "band", points: edge.map(([a, b]) => `${x(a)},${y(b)}`).join(" ") }));
    }
    return element;
  }

  function lineOf(arm, panel, x, y) {
    const path = (points) => points.map((point, index) => `${index ? "L" : "M"}${x(point[column()])} ${y(point[VALUE])}`).join("");
    const points = known(arm.points[panel.name]), element = group(arm);
    for (const run of arm.runs) element.append(draw("path", { class: "one", d: path(known(run[panel.name])) }));
    element.append(draw("path", { class: "mean", d: path(points), "stroke-dasharray": arm.dash }));
    for (const point of points) element.append(draw("circle", { class: point[WHOLE] ? "point whole" : "point", cx: x(point[column()]), cy: y(point[VALUE]), r: 3.2 }));
    return element;
  }

  function look(event, svg, panel, arms, x, y) {
    const box = svg.getBoundingClientRect(), scale = WIDTH / box.width;
    const at = [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
    let best = null;
    for (const arm of arms) for (const point of known(arm.points[panel.name])) {
      const distance = Math.hypot(x(point[column()]) - at[0], y(point[VALUE]) - at[1]);
      if (distance < 40 && (!best || distance < best.distance)) best = { arm, point, distance };
    }
    if (!best) return forget();
    const { arm, point } = best, said = (value) => shownNumber(value, panel.digits);
    const interval = point[LOW] === null || point[HIGH] === null ? "" : ` (${said(point[LOW])} to ${said(point[HIGH])})`;
    const updates = point[1] === null ? "" : `, ${Math.round(point[1])} exemplar updates`;
    tip.replaceChildren(make("strong", { textContent: arm.name }), make("br"), `${panel.title}: ${said(point[VALUE])}${interval}`, make("br"),
      `step ${point[0]}${updates}${point[WHOLE] ? "" : ", part of the test set"}`);
    tip.hidden = false;
    const wide = tip.offsetWidth, left = event.clientX + 14 + wide > innerWidth ? event.clientX - wide - 10 : event.clientX + 14;
    tip.style.left = `${Math.max(4, left)}px`;
    tip.style.top = `${Math.max(4, Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 4))}px`;
    emphasise(arm.arm);
  }

  function emphasise(arm) {
    find("panels").classList.toggle("faded", arm !== null);
    for (const element of find("panels").querySelectorAll(".arm")) element.classList.toggle("near", element.dataset.arm === arm);
  }

  function forget() {
    tip.hidden = true;
    emphasise(null);
  }

  function legend() {
    find("legend").replaceChildren(...current().arms.map((arm) => {
      const sample = group(arm);
      sample.append(draw("line", { class: "mean", x1: 0, x2: 26, y1: 4, y2: 4, "stroke-dasharray": arm.dash }));
      const text = arm.note ? `${arm.name} (${arm.note})` : arm.name;
      const button = make("button", {}, draw("svg", { viewBox: "0 0 26 8" }, sample), text);
      button.setAttribute("aria-pressed", String(!off.has(arm.arm)));
      button.addEventListener("click", () => {
        if (!off.delete(arm.arm)) off.add(arm.arm);
        button.setAttribute("aria-pressed", String(!off.has(arm.arm)));
        panelsOf();
        lookFromKeys();
      });
      const show = () => emphasise(off.has(arm.arm) ? null : arm.arm);
      const lookFromKeys = () => { if (button.matches(":focus-visible")) show(); };
      button.addEventListener("pointerenter", show);
      button.addEventListener("focus", lookFromKeys);
      for (const kind of ["pointerleave", "blur"]) button.addEventListener(kind, () => emphasise(null));
      return button;
    }));
  }

  function panelsOf() {
    const arms = current().arms.filter((arm) => !off.has(arm.arm));
    find("panels").replaceChildren(...panels.map((panel) => panelOf(panel, arms)));
    find("panels").classList.toggle("many", arms.length > bands);
    forget();
  }

  return {
    draw() {  // when it is first looked at
      if (drawn) return;
      drawn = true;
      if (sets.length === 0) {
        find("panels").replaceChildren(make("p", { className: "empty", textContent: "No run has been evaluated yet." }));
        return;
      }
      fill(find("set"), sets.map((one, index) => [index, one.title]));
      find("set").hidden = sets.length < 2;
      find("set").addEventListener("change", () => { legend(); panelsOf(); });
      find("axis").addEventListener("change", panelsOf);
      find("bands").addEventListener("change", panelsOf);
      document.addEventListener("scroll", forget, true);
      legend();
      panelsOf();
    },
  };
})();
