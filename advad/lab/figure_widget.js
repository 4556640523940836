// A figure that initialises at once and becomes plotly's own when plotly's script is there; see figure_widget.py.

const MESSAGES = [
  "addTraces", "deleteTraces", "moveTraces", "restyle", "relayout", "update", "animate", "removeLayoutProps",
  "removeTraceProps",
].map((name) => `_py2js_${name}`);

async function plotly() {
  while (!globalThis.advadPlotly) await new Promise((later) => setTimeout(later, 20)); // `Script` is on its way
  return globalThis.advadPlotly;
}

export default () => {
  let figure;
  return {
    initialize({ model }) {
      const early = []; // what Python says before plotly can hear it
      const listeners = MESSAGES.map((name) => [
        name,
        () => model.get(name) && early.push([name, model.get(name)]),
      ]);
      for (const [name, listener] of listeners) model.on(`change:${name}`, listener);
      figure = plotly().then((widget) => {
        for (const [name, listener] of listeners) model.off(`change:${name}`, listener);
        const own = widget();
        own.initialize({ model });
        for (const [name, message] of early) {
          model.set(name, message);
          model.set(name, null);
        }
        return own;
      });
    },
    async render({ model, el }) {
      return (await figure).render({ model, el });
    },
  };
};
