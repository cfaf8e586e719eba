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
