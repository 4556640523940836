// Draws plotly's figures in the colours of the page, light or dark, and again when these change.
const advadFigures = {};

function advadPlot(name, ...parts) {
  advadFigures[name] = JSON.stringify(parts);
  advadDraw(name);
}

function advadDraw(name, onPaper) {
  const style = getComputedStyle(document.body);
  const colour = (property, light) => (!onPaper && style.getPropertyValue(property).trim()) || light;
  const inks = { "#222": colour("--ink", "#222"), "#222222": colour("--ink", "#222"), "#e6e6e6": colour("--line", "#ddd") };
  const text = advadFigures[name]
    .replace(/("(?:paper_|plot_)?bgcolor": ?)"(?:white|rgba\(255, ?255, ?255, ?0\.8\))"/g, '$1"rgba(0,0,0,0)"')
    .replace(/"(#222|#222222|#e6e6e6)"/g, (_, ink) => JSON.stringify(inks[ink]));
  Plotly.react(name, ...JSON.parse(text));
}

const advadRedraw = (onPaper) => Object.keys(advadFigures).forEach((name) => advadDraw(name, onPaper));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => advadRedraw(false));
addEventListener("beforeprint", () => advadRedraw(true));
addEventListener("afterprint", () => advadRedraw(false));
addEventListener("DOMContentLoaded", () => // a switch between light and dark on the page itself
  new MutationObserver(() => advadRedraw(false)).observe(document.body, { attributeFilter: ["data-theme"] }));
