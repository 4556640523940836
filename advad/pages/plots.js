// Draws plotly's figures in the colours of the page, light or dark, and again when these change.
const advadFigures = {};

function advadPlot(name, ...parts) {
  advadFigures[name] = JSON.stringify(parts);
  advadDraw(name);
}

function advadDraw(name, onPaper) {
  const style = getComputedStyle(document.body);
  const colour = (property, light) => (!onPaper && style.getPropertyValue(property).trim()) || light;
  const ink = JSON.stringify(colour("--ink", "#222"));
  const text = advadFigures[name].replaceAll('"#767676"', ink); // the ink of `advad.plots.theme`
  Plotly.react(name, ...JSON.parse(text));
}

const advadRedraw = (onPaper) => Object.keys(advadFigures).forEach((name) => advadDraw(name, onPaper));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => advadRedraw(false));
addEventListener("beforeprint", () => advadRedraw(true));
addEventListener("afterprint", () => advadRedraw(false));
addEventListener("DOMContentLoaded", () => // a switch between light and dark on the page itself
  new MutationObserver(() => advadRedraw(false)).observe(document.body, { attributeFilter: ["data-theme"] }));
