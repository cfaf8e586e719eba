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
