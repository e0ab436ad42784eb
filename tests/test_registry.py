import pytest

from xmkd_lib.errors import UserError, unknown_name
from xmkd_lib.registry import Registry


@pytest.fixture
def shapes():
    registry = Registry("shape")

    @registry.register("circle")
    def circle(radius, colour="red"):
        return radius, colour

    @registry.register("anything")
    def anything(**params):
        return params

    return registry


def test_creates_with_parameters(shapes):
    assert shapes.create("circle", radius=2) == (2, "red")
    assert shapes.create("anything", name=1, kind=2) == {"name": 1, "kind": 2}


def test_the_decorator_returns_the_factory_and_a_later_entry_wins(shapes):
    @shapes.register("circle")
    class Circle:
        pass

    assert isinstance(shapes.create("circle"), Circle)
    assert shapes["circle"] is Circle


def test_unknown_name_says_the_nearest(shapes):
    with pytest.raises(UserError, match=r"Unknown shape 'cirle'\. Did you mean 'circle'\? Known: anything, circle"):
        shapes.create("cirle")
    with pytest.raises(UserError, match=r"Unknown shape 'zzz'\. Known: anything, circle"):
        shapes.create("zzz")


def test_unknown_parameter_says_the_nearest(shapes):
    with pytest.raises(UserError, match=r"parameter of shape 'circle' 'color'\. Did you mean 'colour'"):
        shapes.create("circle", radius=1, color="blue")


def test_missing_parameter_is_named(shapes):
    with pytest.raises(UserError, match=r"shape 'circle': missing a required argument: 'radius'"):
        shapes.create("circle")


def test_an_empty_registry_says_so():
    with pytest.raises(UserError, match="Known: none"):
        Registry("shape").create("circle")


def test_the_factory_s_own_errors_pass_through(shapes):
    @shapes.register("broken")
    def broken():
        raise TypeError("inside")

    with pytest.raises(TypeError, match="inside"):
        shapes.create("broken")


def test_names_that_are_no_strings_are_answered():
    assert "Unknown loss 3" in str(unknown_name("loss", 3, ["l2"]))
