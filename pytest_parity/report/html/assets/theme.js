/* Dark or light: as the system is, until the button says otherwise. */

class Theme {
  constructor(button) {
    this.button = button;
    button.addEventListener("click", () => this.turn());
    this.wear(remembered());
  }

  get dark() {
    const { theme } = document.documentElement.dataset;
    return theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  }

  turn() {
    this.wear(this.dark ? "light" : "dark");
  }

  wear(wanted) {
    if (wanted) {
      document.documentElement.dataset.theme = wanted;
      try {
        localStorage.setItem("parity-theme", wanted);
      } catch {
        /* a file may have none */
      }
    }
    this.button.textContent = this.dark ? "Light" : "Dark";
  }
}

function remembered() {
  try {
    return localStorage.getItem("parity-theme");
  } catch {
    return null;
  }
}

/** The link that skips what stands above the result. */
function skipTo(main) {
  document.getElementById("skip").addEventListener("click", (event) => {
    event.preventDefault();
    main.focus();
  });
}
