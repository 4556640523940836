"""Figures: what is drawn is what was given, with a second cue beside colour."""

import numpy as np
import pytest

from advad import plots
from advad.analysis import latent


def test_curves_hold_their_numbers_and_a_second_cue():
    figure = plots.curves([1, 2, 3], {"a": [1, None, 3], "b": [2, 2, 2]}, title="t", x_title="x", y_title="y")
    a, b = figure.data
    assert list(a.x) == [1, 2, 3]
    assert np.isnan(a.y[1])
    assert a.line.color != b.line.color
    assert a.line.dash != b.line.dash
    assert a.marker.symbol != b.marker.symbol
    assert (figure.layout.title.text, figure.layout.xaxis.title.text, figure.layout.yaxis.title.text) == ("t", "x", "y")


def test_bands_go_up_and_back():
    figure = plots.curves([0, 1], {"a": [1, 2]}, title="", x_title="", y_title="", bands={"a": ([0, 1], [2, 3])})
    assert list(figure.data[0].y) == [2, 3, 1, 0]
    assert list(figure.data[0].x) == [0, 1, 1, 0]


def test_scatter_tells_groups_apart_twice_and_draws_its_lines():
    figure = plots.scatter(
        {"a": ([1, 2], [3, 4]), "b": ([5], [6])}, title="t", x_title="x", y_title="y", x_line=1.5, y_line=3.5
    )
    a, b = figure.data
    assert (list(a.x), list(a.y), a.name) == ([1, 2], [3, 4], "a (n = 2)")
    assert a.marker.color != b.marker.color
    assert a.marker.symbol != b.marker.symbol
    assert figure.layout.shapes[0].x0 == 1.5
    assert figure.layout.shapes[1].y0 == 3.5


def test_panels_share_looks_and_one_legend():
    parts = {"one": {"a": ([1, 2], [3, 4]), "b": ([5], [6])}, "two": {"b": ([7], [8])}}
    figure = plots.panels(parts, title="t", columns=2)
    assert [(trace.name, trace.xaxis, trace.showlegend) for trace in figure.data] == [
        ("a", "x", True),
        ("b", "x", True),
        ("b", "x2", False),
    ]
    assert figure.data[1].marker.color == figure.data[2].marker.color != figure.data[0].marker.color
    assert figure.data[1].marker.symbol == figure.data[2].marker.symbol != figure.data[0].marker.symbol
    assert [note.text for note in figure.layout.annotations] == ["one", "two"]
    assert (figure.layout.yaxis.scaleanchor, figure.layout.yaxis2.scaleanchor) == ("x", "x2")
    assert list(figure.data[2].y) == [8]


def test_maps_stand_under_their_quality_and_groups_keep_their_looks():
    points = np.array([[1, 2], [3, 4], [5, 6]], dtype=np.float32)
    layouts = {
        "AE": latent.Layout(points, trustworthiness=0.98765, neighbourhood_preservation=0.4321),
        "AAE": latent.Layout(10 * points, trustworthiness=0.5, neighbourhood_preservation=1.0),
    }
    groups = {"normal": [True, False, True], "anomalous": [False, True, False]}
    figure = plots.embeddings(layouts, groups, title="t", columns=2)
    titles = [note.text for note in figure.layout.annotations]
    assert titles == ["AE<br>trust 0.988<br>kept 4.3 of 10", "AAE<br>trust 0.500<br>kept 10.0 of 10"]
    drawn = [(trace.name, trace.xaxis, list(trace.x), list(trace.y)) for trace in figure.data]
    assert drawn == [
        ("normal", "x", [1, 5], [2, 6]),
        ("anomalous", "x", [3], [4]),
        ("normal", "x2", [10, 50], [20, 60]),
        ("anomalous", "x2", [30], [40]),
    ]
    assert figure.layout.title.text == "t"


def test_roc_by_hand():
    """One of two anomalies above all normals, the other below one of two: AUROC 3/4."""
    figure = plots.roc([0, 0, 1, 1], {"m": [1.0, 3.0, 2.0, 4.0]})
    assert figure.data[0].name == "m (AUROC 0.750)"
    assert figure.data[1].name == "chance"
    assert (figure.layout.yaxis.scaleanchor, figure.layout.xaxis.constrain) == ("x", "domain"), "a square"
    assert list(zip(figure.data[0].x, figure.data[0].y, strict=True)) == [
        (0, 0),
        (0, 0.5),
        (0.5, 0.5),
        (0.5, 1),
        (1, 1),
    ]


def test_histograms_sum_to_one_tail_included():
    groups = {"normal": np.linspace(0, 1, 50), "anomalous": np.append(np.linspace(1, 2, 999), 50.0)}
    figure = plots.histograms(groups, title="", x_title="", threshold=1.0)
    for trace in figure.data:
        assert sum(trace.y[:-1]) == pytest.approx(1)
    assert figure.data[0].x[-1] < 50
    assert figure.data[1].name == "anomalous (n = 1000)"
    assert figure.layout.shapes[0].x0 == 1.0


def test_dots_mark_the_highlighted_ones_twice():
    dots = plots.dots({"1": 0.5, "8": 0.25}, title="", y_title="", highlight=["8"]).data[0]
    assert list(dots.y) == [0.5, 0.25]
    assert list(dots.text) == ["0.500", "0.250"]
    assert dots.marker.color[0] != dots.marker.color[1]
    assert dots.marker.symbol[0] != dots.marker.symbol[1]
    assert dots.error_y.array is None
    with pytest.warns(DeprecationWarning, match=r"bars\(\) is called dots\(\) now"):
        assert plots.bars({"1": 0.5}, title="", y_title="").data[0].y == (0.5,)


def test_dots_have_intervals_around_those_that_have_one():
    dots = plots.dots({"a": 0.5, "b": 0.25}, title="", y_title="", intervals={"a": (0.4, 0.7)}).data[0]
    assert list(dots.error_y.array) == pytest.approx([0.2, 0])
    assert list(dots.error_y.arrayminus) == pytest.approx([0.1, 0])


@pytest.mark.parametrize(
    ("x", "y", "on_x", "on_y"),
    [
        ([1, 2, 5, 10, 20, 50], [0.3, 0.012, 0.9, 1, 1, 1], ["1", "2", "5", "10", "20", "50"], ["0.1", "1"]),
        (np.arange(1, 41), np.geomspace(0.0004, 20, 40), ["1", "10"], ["0.001", "0.01", "0.1", "1", "10"]),
        (np.arange(1, 10), np.linspace(0.011, 0.06, 9), ["1", "2", "5"], ["0.02", "0.05"]),
        ([0, 1, 100], [np.nan, 0, 0.5], ["1", "100"], ["0.5"]),
    ],
)
def test_logarithmic_axes_have_plain_ticks(x, y, on_x, on_y):
    """At the positions themselves, where they are few; never 2 and 5 without their power of ten."""
    figure = plots.curves(x, {"a": y}, title="", x_title="", y_title="", log_x=True, log_y=True)
    for axis, texts in ((figure.layout.xaxis, on_x), (figure.layout.yaxis, on_y)):
        assert axis.type == "log"
        assert set(texts) <= set(axis.ticktext)
        assert [float(text) for text in axis.ticktext] == pytest.approx(list(axis.tickvals), rel=1e-2)
        assert len(axis.ticktext) <= 10


def test_heatmap_writes_its_numbers_first_row_on_top():
    figure = plots.heatmap([[0.5, np.nan]], ["r"], ["5%", "20%"], title="", x_title="", y_title="")
    assert figure.layout.xaxis.type == figure.layout.yaxis.type == "category"  # plotly takes "5%" for a number
    assert [list(row) for row in figure.data[0].text] == [["0.500", ""]]
    assert figure.layout.yaxis.autorange == "reversed"
    fixed = plots.heatmap([[5.0]], ["a"], ["b"], title="", x_title="", y_title="", limits=(0, 10))
    assert (fixed.data[0].zmin, fixed.data[0].zmax, fixed.data[0].text[0][0]) == (0, 10, "5")


def test_a_heatmap_takes_its_names_from_mappings():
    table = {"AE": {("seen", "5%"): 0.5, "all": 0.25}, "ARAE": {"all": 0.75, ("seen", "5%"): 1.0}}
    heat = plots.heatmap(table, title="").data[0]
    assert (list(heat.y), list(heat.x)) == (["AE", "ARAE"], ["seen,<br>5%", "all"])
    assert np.array_equal(heat.z, [[0.5, 0.25], [1.0, 0.75]]), "by name, whatever the order in a row"
    renamed = plots.heatmap(table, ["a", "b"], ["c", "d"], title="").data[0]
    assert (list(renamed.y), list(renamed.x)) == (["a", "b"], ["c", "d"])


def test_the_vertical_axis_of_curves_may_be_fixed():
    words = {"title": "", "x_title": "", "y_title": ""}
    figure = plots.interval_curves([0, 1], {"a": [(0.5, 0.4, 0.7)] * 2}, **words, y_range=(-0.02, 1.02))
    assert figure.layout.yaxis.range == (-0.02, 1.02)
    assert plots.curves([0, 1], {"a": [1, 2]}, **words).layout.yaxis.range is None


def test_pixels():
    assert plots.to_pixels(np.array([[0.0, 1.0], [2.0, np.nan]]))[..., 0].tolist() == [[0, 255], [255, 0]]
    colour = np.zeros((3, 2, 4), np.uint8)
    colour[1] = 9
    assert plots.to_pixels(colour).shape == (2, 4, 3)
    assert plots.to_pixels(colour)[0, 0].tolist() == [0, 9, 0]


def test_grid_places_each_image():
    white, black = np.full((2, 1, 4, 4), 255, np.uint8), np.zeros((1, 4, 4), np.uint8)
    image = plots.grid({"first row": white, "second": black}, captions={"second": ["0.5"]}, columns=["a", "b"])
    pixels = np.asarray(image.convert("L")).astype(int)
    dark = (pixels == 0).sum()
    assert dark == (2 * 60 - 2) ** 2  # the black image inside its frame, at twice 60 pixels, and no other
    assert image.height > 2 * 2 * 60 + 2 * 18 * 2


@pytest.mark.parametrize("n", [1, 12])
def test_grid_grows_with_its_columns(n):
    widths = [plots.grid({"r": np.zeros((k, 8, 8))}).width for k in (n, n + 1)]
    assert widths[1] - widths[0] == 2 * (60 + 6)


def test_an_overlay_is_red_below_zero_blue_above_and_grey_at_zero():
    images = np.full((2, 3, 1, 3), 255, np.uint8)
    maps = np.array([[[-2.0, 0.0, 1.0]], [[0.0, 0.0, 0.0]]])
    mixed = plots.overlay(images, maps)
    assert mixed.shape == (2, 3, 1, 3)
    assert mixed[0, :, 0, 0] * 255 == pytest.approx([0xD5, 0x5E, 0x00])  # the strongest place is all vermilion
    red, green, blue = mixed[0, :, 0, 2]
    assert blue > green > red  # half as strong, half way from the pale grey to blue
    assert mixed[0, :, 0, 2] == pytest.approx((0.95 + np.array([0x00, 0x72, 0xB2]) / 255) / 2)
    assert mixed[1] == pytest.approx(np.full((3, 1, 3), 0.95))  # a map of zeros colours nothing


def test_interval_curves_draw_the_value_and_shade_the_rest():
    figure = plots.interval_curves([0, 1], {"a": [(0.5, 0.4, 0.7), (0.2, 0.1, 0.3)]}, title="", x_title="", y_title="")
    band, line = figure.data
    assert list(line.y) == [0.5, 0.2]
    assert list(band.y) == [0.7, 0.3, 0.1, 0.4]  # the upper ends, and back along the lower ones


def test_a_long_title_has_lines_and_room_for_them():
    title = "Of ten neighbours on a map of the AE's codes, how many are invented?"
    long, short = (plots.curves([0, 1], {"a": [0, 1]}, title=text, x_title="", y_title="") for text in (title, "t"))
    first, second = long.layout.title.text.split("<br>")
    assert f"{first} {second}" == title
    assert max(len(first), len(second)) <= 60
    assert long.layout.margin.t == short.layout.margin.t + 20
    axis = plots.curves([0, 1], {"a": [0, 1]}, title="", x_title="", y_title=f"squared distance, {'as a share ' * 2}")
    assert axis.layout.yaxis.title.text == "squared distance, as a share as a<br>share"
