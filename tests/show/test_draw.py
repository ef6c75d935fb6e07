"""The lessons' picture, and what happens where there is no dot."""

from __future__ import annotations

import pickle
import re
import shutil
from pathlib import Path

import graphviz
import numpy as np
import pytest

import tapegrad as tg
from tapegrad.errors import BranchChanged, RecordError, ShapeError, TapegradError
from tapegrad.show.draw import LARGEST, DotMissingError, draw, render, svg
from tapegrad.symbolic.parse import parse


def neuron():
    x, w = tg.Value(2.0, label="x1"), tg.Value(-3.0, label="w1")
    b = tg.Value(6.5, label="b")
    y = (x * w + b).tanh()
    y.label = "o"
    y.backward()
    return y


def boxes(source):
    return re.findall(r'\t(v\d+) \[label="\{ (.*?) \}"', source)


def edges(source):
    return re.findall(r"\t(\w+) -> (\w+)", source)


def test_boxes_of_a_value():
    drawing = draw(neuron())
    assert isinstance(drawing, graphviz.Digraph)
    assert drawing.source.startswith("digraph")
    assert "rankdir=LR" in drawing.source
    assert "shape=record" in drawing.source
    texts = [text for _, text in boxes(drawing.source)]
    assert "x1 | data 2.0000 | grad -2.3593" in texts
    assert "o | data 0.4621 | grad 1.0000" in texts
    assert "data -6.0000 | grad 0.7864" in texts
    assert len(texts) == 6


def test_an_operation_stands_before_each_result():
    source = draw(neuron()).source
    operations = dict(re.findall(r'\t(v\d+_op) \[label="?([^" ]+)', source))
    assert sorted(operations.values()) == ["*", "+", "tanh"]
    for made in operations:
        assert (made, made.removesuffix("_op")) in edges(source)
        assert any(end == made for _, end in edges(source))


def test_both_operands_of_a_square_have_an_edge():
    x = tg.Value(3.0, label="x")
    y = x * x
    y.backward()
    source = tg.draw(y).source
    assert edges(source).count(("v0", "v1_op")) == 2
    assert "data 9.0000 | grad 1.0000" in source


def test_grads_are_the_accumulated_ones():
    y = neuron()
    y.backward()
    assert "grad 2.0000" in draw(y).source


def test_boxes_of_a_tape():
    tape = tg.record(lambda x, y: x * np.tanh(y), 2.0, 0.0)
    assert boxes(draw(tape).source)[:2] == [
        ("v0", "x | data 2.0000 | grad 0.0000"),
        ("v1", "y | data 0.0000 | grad 2.0000"),
    ]
    assert "y | data 1.0000" in draw(tape, 2.0, 1.0).source
    assert tape.draw(2.0, 1.0).source == draw(tape, 2.0, 1.0).source


def test_a_tape_without_numbers_has_names():
    source = draw(parse("x*y + 2")).source
    assert [text for _, text in boxes(source)] == ["x", "y", "v2", "data 2.0000", "v4"]


def test_small_and_large_numbers_stay_readable():
    y = tg.Value(1e-9, label="a") * tg.Value(3.2e12, label="b")
    source = draw(y).source
    assert "data 1e-09" in source
    assert "data 3.2e+12" in source


def test_conditions_and_infinities():
    source = draw(tg.record(lambda x: tg.where(x > 1.0, np.log(x), x), 0.0)).source
    assert "{ data False }" in source
    assert "data -inf" in source


@pytest.mark.parametrize(
    "label",
    ["a|b", "{x}", "<port>", 'say "x"', "back\\slash", "two words", "x[0]", "α\nβ"],
)
@pytest.mark.usefixtures("dot")
def test_labels_are_text_and_never_syntax(label, tmp_path):
    drawing = draw(tg.Value(1.0, label=label) * 2)
    text = render(drawing, tmp_path / "p.svg").read_text()
    shown = [t.strip() for t in re.findall(r"<text[^>]*>([^<]*)</text>", text)]
    assert sum(t.startswith("data") for t in shown) == 3
    for part in label.split("\n"):
        plain = part.replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")
        assert plain in [t.replace("\u00a0", " ").replace("&#160;", " ") for t in shown]


@pytest.mark.usefixtures("dot")
def test_dot_draws_it(tmp_path):
    for suffix, start in [("svg", b"<?xml"), ("png", b"\x89PNG"), ("pdf", b"%PDF")]:
        path = render(draw(neuron()), tmp_path / f"picture.{suffix}")
        assert path.read_bytes().startswith(start)
    assert svg(neuron()).startswith("<?xml")
    assert neuron()._repr_svg_() == svg(neuron())
    assert "<svg" in neuron().tape._repr_svg_()


def test_the_source_needs_no_dot(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    drawing = draw(neuron())
    path = render(drawing, tmp_path / "picture.dot")
    assert path.read_text(encoding="utf-8") == drawing.source


def test_without_dot_there_is_a_message_that_says_what_to_install(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert shutil.which("dot") is None
    drawing = draw(neuron())
    for task in (
        lambda: render(drawing, tmp_path / "p.svg"),
        lambda: drawing.pipe(format="svg"),
        lambda: drawing.render(tmp_path / "p", format="svg"),
    ):
        with pytest.raises(TapegradError, match="install") as caught:
            task()
        assert isinstance(caught.value, graphviz.ExecutableNotFound)
    assert svg(neuron()) is None
    assert neuron()._repr_svg_() is None
    assert neuron().tape._repr_svg_() is None


def test_the_error_pickles():
    assert str(pickle.loads(pickle.dumps(DotMissingError()))) == str(DotMissingError())


def test_unknown_formats(tmp_path):
    for name in ("p.docx", "p"):
        with pytest.raises(ShapeError, match="no picture format"):
            render(draw(neuron()), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_deep_chains_are_drawn_without_recursion():
    y = tg.Value(1.0)
    for _ in range(LARGEST - 1):
        y = -y
    assert len(boxes(draw(y).source)) == LARGEST


def test_too_many_boxes_are_refused():
    y = tg.Value(1.0)
    for _ in range(LARGEST):
        y = -y
    with pytest.raises(ShapeError, match=r"2,001 boxes .* print\(tape\)"):
        draw(y)
    with pytest.raises(ShapeError, match="boxes"):
        draw(y.tape)
    assert svg(y) is None


def test_a_value_of_a_recording_is_its_tape_so_far():
    sources = []

    def f(x):
        y = x * x
        sources.append(draw(y).source)
        return y

    tg.record(f, 3.0)
    assert "x | data 3.0000 | grad 6.0000" in sources[0]


def test_bad_calls():
    with pytest.raises(RecordError, match="Value or a Tape, got str"):
        draw("x*y")
    with pytest.raises(RecordError, match="number already"):
        draw(tg.Value(1.0), 2.0)
    with pytest.raises(ShapeError):
        draw(tg.record(lambda x, y: x * y, 1.0, 2.0), 1.0)
    guarded = tg.record(lambda x: x if x > 0 else -x, 1.0)
    with pytest.raises(BranchChanged):
        draw(guarded, -1.0)


def test_nothing_is_written_until_asked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    draw(neuron())
    assert not list(Path().iterdir())


# -- arrays ------------------------------------------------------------------------


def test_boxes_of_arrays_have_their_shape_and_both_ends():
    x = tg.Value(np.arange(6.0).reshape(2, 3), label="x")
    y = (x[:, 1:] * 2.0).sum(axis=0).mean()
    y.backward()
    source = draw(y).source
    texts = dict(boxes(source))
    (box,) = [text for text in texts.values() if text.startswith("x |")]
    assert box == (
        "x | (2, 3) | { data [[0.0, 1.0 ... 5.0]] | grad [[0.0, 1.0 ... 1.0]] }"
    )
    assert "data 12.0000 | grad 1.0000" in texts.values()
    assert '[label="[:, 1:]"' in source
    assert re.search(r'label="sum\naxis=0"', source)
    tape = y.tape
    assert "x | (2, 3) | { data [[0.0, 1.0 ... 5.0]]" in draw(tape).source


def test_dtypes_stand_beside_the_shape():
    def f(x, at):
        return np.sum(x[at] * np.float32(2))

    source = draw(tg.record(f, np.ones(3, np.float32), np.array([0, 2]))).source
    assert "x | (3,) float32 | { data [1.0, 1.0, 1.0] | grad [2.0, 0.0, 2.0]" in source
    assert "at | (2,) int64 | { data [0, 2] } }" in source  # no grad


def test_a_tape_of_arrays_at_other_inputs():
    tape = tg.record(lambda x: np.sum(x * x), np.zeros(2))
    assert (
        "data [1.0, 2.0] | grad [2.0, 4.0]" in draw(tape, np.array([1.0, 2.0])).source
    )
    with pytest.raises(ShapeError, match="argument x"):
        draw(tape, np.ones(3))


@pytest.mark.parametrize("eager", [True, False])
def test_slots_of_one_step_share_its_node(eager):
    def f(a):
        w, v = np.linalg.eigh(a)
        return np.sum(w * v[0])

    a = np.array([[2.0, 1.0], [1.0, 3.0]])
    y = f(tg.Value(a)) if eager else tg.record(f, a)
    source = draw(y).source
    assert source.count("label=eigh") == 1
    (made,) = re.findall(r"(v\d+_op) \[label=eigh", source)
    assert sum(start == made for start, _ in edges(source)) == 2
    assert sum(end == made for _, end in edges(source)) == 1


@pytest.mark.usefixtures("dot")
def test_dot_draws_arrays(tmp_path):
    def f(x, w):
        return np.sum(np.maximum(x @ w, 0.0)[..., None] ** 2, axis=(0, 1))[0]

    tape = tg.record(f, np.ones((50, 4)), np.ones((4, 3)))
    assert render(draw(tape), tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
    text = tape._repr_svg_()
    shown = [t.strip() for t in re.findall(r"<text[^>]*>([^<]*)</text>", text)]
    assert "(50, 4)" in [t.replace("\u00a0", " ").replace("&#160;", " ") for t in shown]
    assert any(t.startswith("data [[1.0, 1.0 ... 1.0]]") for t in shown)
