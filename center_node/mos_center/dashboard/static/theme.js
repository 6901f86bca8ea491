document.documentElement.classList.add("scripted");
// Before anything is drawn: the theme that was chosen here, if one was.
try {
  const chosen = localStorage.getItem("mos-theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch {
  // A browser without storage follows the system.
}
