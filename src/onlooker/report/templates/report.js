// Many clips at once would keep a laptop busy: play those in sight, and none for who asked for less motion.
const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
const seen = new IntersectionObserver((changes) => {
  for (const { target, isIntersecting } of changes) {
    if (!isIntersecting) target.pause();
    else if (!still) target.play().catch(() => { target.controls = true; });
  }
});
for (const video of document.querySelectorAll("video")) {
  // Controls cover what is drawn: only those of the video that is pointed at, or has the focus, are shown.
  const show = () => { video.controls = video.matches(":hover, :focus"); };
  for (const type of ["pointerenter", "pointerleave", "focus", "blur"]) video.addEventListener(type, show);
  show();
  if (still) { video.autoplay = false; video.pause(); }
  video.addEventListener("loadedmetadata", () => { video.currentTime = video.duration / 2; }, { once: true }); // at rest
  seen.observe(video);
}
