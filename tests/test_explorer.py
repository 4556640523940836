"""What all explorers are made of: a page gets a figure whole, as it is when it is put into a box."""

import ipywidgets as widgets
import plotly.graph_objects as go

from advad.lab.explorer import plot


def test_a_page_gets_a_figure_whole_and_then_its_changes(monkeypatch):
    opened, sent = {}, []

    class Comm:
        def __init__(self, data, comm_id=None, **_):
            self.comm_id = comm_id or str(len(opened))
            opened[self.comm_id] = data["state"]

        def on_msg(self, callback):
            pass

        def send(self, data, buffers=None):
            sent.append(data["state"])

    monkeypatch.setattr(widgets.widgets.widget.comm, "create_comm", Comm)
    figure = plot(go.Figure(go.Scatter(x=[0, 1], y=[2, 3])), 400, 300)
    with figure.batch_update():
        figure.data[0].y = [4, 5]
    assert not opened, "before it is in a box, nobody needs it"
    box = widgets.VBox([figure])
    assert opened[box.model_id]["children"] == [f"IPY_MODEL_{figure.model_id}"]
    assert opened[figure.model_id]["_widget_data"][0]["y"] == [4, 5]
    assert opened[figure.model_id]["_widget_layout"]["width"] == 400
    sent.clear()
    with figure.batch_update():
        figure.data[0].y = [6, 7]
    assert [state["_py2js_update"]["style_data"] for state in sent if state.get("_py2js_update")] == [{"y": [[6, 7]]}]
