// Light or dark: as the system says, until the person chooses.

import { $ } from "/assets/messages.js";

const CHOICE = "tenfold:theme";
const root = document.documentElement.style;

root.colorScheme = localStorage.getItem(CHOICE) ?? "";
$("theme").addEventListener("click", () => {
  const now = root.colorScheme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  root.colorScheme = now === "dark" ? "light" : "dark";
  localStorage.setItem(CHOICE, root.colorScheme);
});
