// Fig. 7, to look into: arms can be left out, and the point nearest to the pointer says what it is.
const chart = (() => {
  const { sets, panels, bands } = json(find("charts"));
  const WIDTH = 460, HEIGHT = 280, LEFT = 52, RIGHT = 448, TOP = 10, BOTTOM = 240;
  const VALUE = 2, LOW = 3, HIGH = 4, WHOLE = 5;
  const off = new Set(), tip = find("tip"), box = find("panels");
  let drawn = false;

  const current = () => sets[Number(find("set").value) || 0];
  const column = () => Number(find("axis").value);
  const known = (points) => points.filter((point) => point[column()] !== null && point[VALUE] !== null);
  const bounded = (point) => point[LOW] !== null && point[HIGH] !== null;

  function ticks(low, high, count) {
    const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= rough);
    const from = Math.ceil(low / step - 1e-9);
    return Array.from({ length: Math.max(0, Math.floor(high / step + 1e-9) - from + 1) }, (_, index) => (from + index) * step);
  }

  // Curves can be read where bands of few runs reach far beyond them; there is room for those that are shown only on a hover.
  function limits(arms, panel, every) {
    const values = [...every.map((point) => point[VALUE]), ...(panel.threshold === null ? [] : [panel.threshold])];
    if (values.length === 0) return [0, 1];
    const least = Math.min(...values), most = Math.max(...values);
    const room = Math.max(0.5 * (most - least), panel.digits === 1 ? 10 : 0.01);
    const banded = find("bands").checked ? arms.flatMap((arm) => known(arm.points[panel.name])) : [];
    const low = Math.max(least - room, Math.min(least, ...banded.map((point) => point[LOW] ?? least)));
    const high = Math.min(most + room, Math.max(most, ...banded.map((point) => point[HIGH] ?? most)));
    const edge = 0.05 * (high - low) || 0.01;
    return [low - edge, high + edge];
  }

  function panelOf(panel, arms) {
    const every = arms.flatMap((arm) => [arm, ...arm.runs.map((points) => ({ points }))]).flatMap((one) => known(one.points[panel.name]));
    const last = Math.max(1, ...every.map((point) => point[column()])), [low, high] = limits(arms, panel, every);
    const x = (value) => LEFT + (value / last) * (RIGHT - LEFT);
    const y = (value) => TOP + ((high - value) / (high - low)) * (BOTTOM - TOP);
    const at = (point, end = VALUE) => [x(point[column()]), y(point[end])];
    const across = (kind, value) => draw("line", { class: kind, x1: LEFT, x2: RIGHT, y1: y(value), y2: y(value) });
    const says = (left, top, text, anchor = "middle") => draw("text", { x: left, y: top, "text-anchor": anchor }, text);
    const marks = ticks(low, high, 5), digits = marks.length > 1 ? Math.max(0, -Math.floor(Math.log10(marks[1] - marks[0]) + 1e-9)) : panel.digits;
    const clip = `clip-${panel.name}`, below = arms.toReversed();  // the first, the method, lies on top; bands below all lines
    const svg = draw("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `${panel.title} by arm` },
      draw("clipPath", { id: clip }, draw("rect", { x: LEFT - 5, y: TOP - 5, width: RIGHT - LEFT + 10, height: BOTTOM - TOP + 10 })),
      ...marks.flatMap((value) => [across("grid", value), says(LEFT - 6, y(value) + 4, shownNumber(value, digits), "end")]),
      ...ticks(0, last, 5).map((value) => says(x(value), BOTTOM + 17, String(value))),
      says((LEFT + RIGHT) / 2, HEIGHT - 5, find("axis").selectedOptions[0].text),
      ...(panel.threshold === null ? [] : [across("limit", panel.threshold)]),
      draw("g", { "clip-path": `url(#${clip})` },
        ...below.map((arm) => bandOf(arm, panel, at)), ...below.map((arm) => lineOf(arm, panel, at))),
      ...(every.length ? [] : [says(WIDTH / 2, HEIGHT / 2, "not measured")]));
    for (const kind of ["pointermove", "pointerdown"]) svg.addEventListener(kind, (event) => look(event, svg, panel, arms, at));
    svg.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") forget(); });
    return make("div", { className: "panel" }, make("h2", { textContent: panel.title }), svg);
  }

  function group(arm, ...children) {
    const element = draw("g", { class: arm.colour ? "arm" : "arm method", "data-arm": arm.arm }, ...children);
    if (arm.colour) element.style.setProperty("--colour", arm.colour);
    return element;
  }

  function bandOf(arm, panel, at) {
    const points = known(arm.points[panel.name]).filter(bounded);
    if (!find("bands").checked || points.length < 2) return group(arm);
    const edge = [...points.map((point) => at(point, HIGH)), ...points.toReversed().map((point) => at(point, LOW))];
    return group(arm, draw("polygon", { class: "band", points: edge.join(" ") }));
  }

  function lineOf(arm, panel, at) {
    const line = (kind, points, more = {}) => draw("polyline", { class: kind, points: points.map((point) => at(point)).join(" "), ...more });
    const points = known(arm.points[panel.name]);
    return group(arm, ...arm.runs.map((run) => line("one", known(run[panel.name]))), line("mean", points, { "stroke-dasharray": arm.dash }),
      ...points.map((point) => draw("circle", { class: point[WHOLE] ? "point whole" : "point", cx: at(point)[0], cy: at(point)[1], r: 3.2 })));
  }

  function look(event, svg, panel, arms, at) {  // at the point nearest to the pointer
    const { left, top, width } = svg.getBoundingClientRect(), scale = WIDTH / width;
    const here = [(event.clientX - left) * scale, (event.clientY - top) * scale];
    const away = (point) => Math.hypot(at(point)[0] - here[0], at(point)[1] - here[1]);
    const all = arms.flatMap((arm) => known(arm.points[panel.name]).map((point) => ({ arm, point, distance: away(point) })));
    const best = all.reduce((one, other) => (other.distance < one.distance ? other : one), { distance: 40 });
    if (!best.arm) return forget();
    const { arm, point } = best, said = (value) => shownNumber(value, panel.digits);
    const interval = bounded(point) ? ` (${said(point[LOW])} to ${said(point[HIGH])})` : "";
    const updates = point[1] === null ? "" : `, ${Math.round(point[1])} exemplar updates`;
    tip.replaceChildren(make("strong", { textContent: arm.name }), make("br"), `${panel.title}: ${said(point[VALUE])}${interval}`, make("br"),
      `step ${point[0]}${updates}${point[WHOLE] ? "" : ", part of the test set"}`);
    tip.hidden = false;
    const fits = event.clientX + 14 + tip.offsetWidth <= innerWidth;
    tip.style.left = `${Math.max(4, event.clientX + (fits ? 14 : -tip.offsetWidth - 10))}px`;
    tip.style.top = `${Math.max(4, Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 4))}px`;
    emphasise(arm.arm);
  }

  function emphasise(arm) {
    box.classList.toggle("faded", arm !== null);
    for (const element of box.querySelectorAll(".arm")) element.classList.toggle("near", element.dataset.arm === arm);
  }

  function forget() {
    tip.hidden = true;
    emphasise(null);
  }

  function legend() {
    find("legend").replaceChildren(...current().arms.map((arm) => {
      const sample = group(arm, draw("line", { class: "mean", x1: 0, x2: 26, y1: 4, y2: 4, "stroke-dasharray": arm.dash }));
      const show = () => emphasise(off.has(arm.arm) ? null : arm.arm), leave = () => emphasise(null);
      const press = () => button.setAttribute("aria-pressed", String(!off.has(arm.arm)));
      const onfocus = () => { if (button.matches(":focus-visible")) show(); };  // the keyboard shows it too
      const onclick = () => {
        if (!off.delete(arm.arm)) off.add(arm.arm);
        press();
        drawPanels();
        onfocus();
      };
      const button = make("button", { onclick, onfocus, onblur: leave, onpointerenter: show, onpointerleave: leave },
        draw("svg", { viewBox: "0 0 26 8" }, sample), arm.note ? `${arm.name} (${arm.note})` : arm.name);
      press();
      return button;
    }));
  }

  function drawPanels() {
    const arms = current().arms.filter((arm) => !off.has(arm.arm));
    box.replaceChildren(...panels.map((panel) => panelOf(panel, arms)));
    box.classList.toggle("many", arms.length > bands);
    forget();
  }

  return {
    draw() {  // when it is first looked at
      if (drawn) return;
      drawn = true;
      if (sets.length === 0) return box.replaceChildren(make("p", { className: "empty", textContent: "No run has been evaluated yet." }));
      fill(find("set"), sets.map((one, index) => [index, one.title]));
      find("set").hidden = sets.length < 2;
      find("set").onchange = () => { legend(); drawPanels(); };
      find("axis").onchange = find("bands").onchange = drawPanels;
      document.addEventListener("scroll", forget, true);
      legend();
      drawPanels();
    },
  };
})();
