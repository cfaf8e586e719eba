// What all parts use: finding and making elements. Text is only ever set as text, never as markup.
const find = (id) => document.getElementById(id);
const json = (element) => JSON.parse(element.textContent);
const SVG = "http://www.w3.org/2000/svg";

function furnish(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (name in element && element.namespaceURI !== SVG) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

const make = (kind, properties = {}, ...children) => furnish(document.createElement(kind), properties, children);
const draw = (kind, attributes = {}, ...children) => furnish(document.createElementNS(SVG, kind), attributes, children);
const spans = (marks) => marks.map(([className, textContent]) => make("span", { className, textContent }));
const fill = (select, options) => select.replaceChildren(...options.map(([value, textContent]) => make("option", { value, textContent })));
const shownNumber = (value, digits) => value.toFixed(digits).replace("-", "−");
// One clock for all videos. Its phase runs from 0 to 1; a video stands at that part of its own length, so that clips of
// other lengths keep in step too. Small differences are made up by playing a little faster or slower, large ones by a jump.
const player = (() => {
  const videos = new Set();
  let phase = 0, playing = false, frames = 1, seconds = 1, speed = 1, before = 0, checked = 0, listener = () => {};

  const place = (video) => Math.min(phase * video.duration, video.duration - 0.001);
  const rate = (video) => Math.min(16, Math.max(0.0625, (speed * video.duration) / seconds));
  const frame = () => Math.min(frames - 1, Math.floor(phase * frames));
  const tell = () => listener({ frame: frame(), frames, playing });

  function put(video) {  // where the clock stands
    if (!video.duration) return;
    video.currentTime = place(video);
    video.playbackRate = rate(video);
    if (playing) video.play().catch(() => {});
    else video.pause();
  }

  function keepUp(video) {
    if (!video.duration || video.seeking || video.readyState < 2) return;
    const ahead = ((video.currentTime / video.duration - phase + 1.5) % 1) - 0.5;  // the circle's shorter way
    const late = ahead * video.duration;
    if (video.paused) put(video);
    else if (Math.abs(late) > 0.4) video.currentTime = place(video);
    else video.playbackRate = rate(video) * (Math.abs(late) > 0.03 ? 1 - Math.max(-0.3, Math.min(0.3, 2 * late)) : 1);
  }

  function tick(now) {
    if (!playing) return;
    const passed = Math.min(0.25, (now - before) / 1000), shown = frame();  // a hidden page stands still
    before = now;
    phase = (phase + (passed * speed) / seconds) % 1;
    if (now - checked > 150) {
      checked = now;
      videos.forEach(keepUp);
    }
    if (frame() !== shown) tell();
    requestAnimationFrame(tick);
  }

  function set(on, at = frame()) {  // play, or stand still in the middle of a frame
    if (on && !playing) {
      before = performance.now();
      requestAnimationFrame(tick);
    }
    if (!on) phase = (Math.max(0, Math.min(frames - 1, at)) + 0.5) / frames;
    playing = on;
    videos.forEach(put);
    tell();
  }

  return {
    listen(one) { listener = one; },
    length(count, fps) {
      frames = Math.max(1, count);
      seconds = frames / (fps || 1);
      phase = Math.min(phase, 1 - 0.5 / frames);
      tell();
    },
    load(video, source) {
      video.preload = "auto";
      video.onloadedmetadata = () => put(video);
      video.src = source;
      videos.add(video);
    },
    unload(video) {  // browsers keep only so many videos open
      videos.delete(video);
      video.pause();
      video.removeAttribute("src");
      video.load();
    },
    toggle: () => set(!playing),
    play: () => set(true),
    seek: (number) => set(false, number),
    step: (by) => set(false, (frame() + by + frames) % frames),
    set speed(times) { speed = times; videos.forEach((video) => { if (video.duration) video.playbackRate = rate(video); }); },
  };
})();

// Which videos are open. Those that can be seen are opened a few at a time once scrolling rests, the others are closed:
// browsers keep only so many open, and opening all that fly past would stall the page.
const loader = (() => {
  const AT_ONCE = 8, REST = 90;  // ms
  const wanted = new Set(), opening = new Set(), stage = find("stage");
  let scrolled = 0, waiting = 0;

  const seen = new IntersectionObserver(look, { root: stage, rootMargin: "100px 100px" });
  stage.addEventListener("scroll", () => { scrolled = performance.now(); }, { passive: true });

  function look(entries) {
    for (const { target: video, isIntersecting } of entries) {
      if (!isIntersecting) close(video);
      else if (!video.hasAttribute("src")) wanted.add(video);
    }
    later();
  }

  function close(video) {
    wanted.delete(video);
    opening.delete(video);
    if (video.hasAttribute("src")) player.unload(video);
  }

  function later() {
    clearTimeout(waiting);
    if (wanted.size) waiting = setTimeout(open, Math.max(0, scrolled + REST - performance.now()));
  }

  function open() {
    if (performance.now() - scrolled < REST) return later();
    for (const video of wanted) {
      if (opening.size >= AT_ONCE) return;  // the next one that is ready calls again
      wanted.delete(video);
      if (!video.isConnected) continue;
      opening.add(video);
      player.load(video, video.dataset.source);
    }
  }

  function done(video) {
    if (opening.delete(video)) later();
  }

  const plate = (text) => make("div", { className: "screen", textContent: text });

  function screen(source) {  // a video that is opened when it can be seen, with a plate around it
    const video = make("video", { muted: true, loop: true, tabIndex: -1, disablePictureInPicture: true, playsInline: true });
    const around = make("div", { className: "screen" }, video);
    video.dataset.source = source;
    video.onloadeddata = () => done(video);
    video.onerror = () => {
      if (!video.hasAttribute("src")) return;
      done(video);
      drop(around);
      around.replaceChildren("does not play");
    };
    seen.observe(video);
    return around;
  }

  function drop(element) {  // before it is taken off the page
    for (const video of element.querySelectorAll("video")) {
      seen.unobserve(video);
      close(video);
    }
  }

  return { plate, screen, drop };
})();
