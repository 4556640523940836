// A figure that initialises at once and becomes plotly's own when plotly's script is there; see figure_widget.py.

const MESSAGES = [
  "addTraces", "deleteTraces", "moveTraces", "restyle", "relayout", "update", "animate", "removeLayoutProps",
  "removeTraceProps",
].map((name) => `_py2js_${name}`);

async function plotly() {
  while (!globalThis.advadPlotly) await new Promise((later) => setTimeout(later, 20)); // `Script` is on its way
  return globalThis.advadPlotly;
}

// What a model sets while the kernel is busy waits, and the next such word replaces it: a click would be lost to the
// hover after it. So clicks and selections go as messages of their own, which all arrive.
function heeded(model) {
  const isHover = ({ event_type }) => event_type === "plotly_hover" || event_type === "plotly_unhover";
  return {
    ...model,
    set(name, value) {
      if (name === "_js2py_pointsCallback" && value && !isHover(value)) model.send(value);
      else model.set(name, value);
    },
  };
}

export default () => {
  let figure, heard;
  return {
    initialize({ model }) {
      const early = []; // what Python says before plotly can hear it
      const listeners = MESSAGES.map((name) => [
        `change:${name}`,
        () => model.get(name) && early.push([name, model.get(name)]),
      ]);
      listeners.push(["change:_widget_data", () => early.splice(0)]); // the whole state, with all that was said
      for (const [event, listener] of listeners) model.on(event, listener);
      figure = plotly().then((widget) => {
        const own = widget();
        own.initialize({ model: heeded(model) });
        return own;
      });
      heard = () => {
        for (const [event, listener] of listeners) model.off(event, listener);
        return early.splice(0);
      };
    },
    async render({ model, el }) {
      const own = await figure;
      const early = heard();
      const remove = own.render({ model, el });
      for (const [name, message] of early) {
        model.set(name, message); // to the view: plotly's model would take "_undefined_" for a value
        model.set(name, null);
      }
      return remove;
    },
  };
};
