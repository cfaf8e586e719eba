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
