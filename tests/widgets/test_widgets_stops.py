from xmkd_lib import widgets


def test_a_slider_over_given_values_redraws():
    drawn = []
    strength = widgets.stops("strength λ", [0.0, 0.1, 30.0], 0.1)
    view = widgets.explore(lambda strength: drawn.append(strength), strength=strength)
    strength.value = 30.0
    assert drawn == [0.1, 30.0]
    assert view.chosen == {"strength": 30.0}
