"""What a page is told of a figure when it is born; what it shows is tested in tests/browser."""

import comm
import plotly.graph_objects as go

from advad.plots.widget import Figure


def test_a_figure_is_born_with_its_traces(monkeypatch):
    opened, create = [], comm.create_comm

    def noted(**how):
        opened.append(how["data"]["state"])
        return create(**how)

    monkeypatch.setattr(comm, "create_comm", noted)
    Figure(go.Figure(data=[{"y": [1, 2, 3]}], layout={"title": {"text": "Scores"}}))
    (born,) = [state for state in opened if "_widget_data" in state]
    assert [trace["y"] for trace in born["_widget_data"]] == [[1, 2, 3]]
    assert born["_widget_layout"]["title"] == {"text": "Scores"}
    assert opened[-1] is born  # after its script
