// Many clips at once would keep a laptop busy: play those in sight, and none for who asked for less motion.
const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
const seen = new IntersectionObserver((changes) => {
  for (const { target, isIntersecting } of changes) {
    if (!isIntersecting) target.pause();
    else if (!still) target.play().catch(() => { target.controls = true; });
  }
});
for (const video of document.querySelectorAll("video")) {
  if (still) { video.autoplay = false; video.pause(); }
  video.addEventListener("loadedmetadata", () => { video.currentTime = video.duration / 2; }, { once: true }); // at rest
  seen.observe(video);
}
