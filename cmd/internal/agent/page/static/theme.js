// The colours that were chosen, before anything is drawn. It is no module: those run too late for that.
try {
  const theme = localStorage.getItem("locked.theme");
  if (theme) document.documentElement.dataset.theme = theme;
} catch {
  // a browser that keeps nothing: the system's colours
}
