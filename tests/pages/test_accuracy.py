import re

from videoperceiver.pages import Column, Difference, Estimate, Model, Score, accuracy_chart, accuracy_table, difference_table

MODELS = (Model("plain", "control"), Model("stage 1", ours=True))
SCORES = [
    Score("plain", "agree", "V", Estimate(0.5, 0.4, 0.6, 100)),
    Score("stage 1", "agree", "V", Estimate(0.93, 0.9, 0.95, 100)),
    Score("stage 1", "conflict", "V", Estimate(float("nan"))),
]
SLICES = (("agree", "agrees"), ("conflict", "conflicts"))


def test_dots_and_intervals_are_where_the_numbers_say():
    html = str(accuracy_chart(MODELS, SCORES, SLICES, chance={"agree": 0.25}))
    assert re.findall(r'class="dot" cx="([\d.]+)%"', html)[:2] == ["50.000", "92.140"]  # 0 and 1 lie at 1 % and 99 % of the width
    assert 'x1="40.200%" x2="59.800%"' in html
    assert html.count('class="chance" x1="25.500%"') == len(MODELS)  # on the half it was measured for
    assert 'aria-label="50.0\u00a0%, interval 40.0 to 60.0 %"' in html
    assert html.count('aria-label="not measured"') == 2


def test_a_number_near_the_end_of_the_scale_stands_on_the_inner_side():
    html = str(accuracy_chart(MODELS, SCORES, SLICES))
    assert re.search(r'text-anchor="end">93', html)
    assert re.search(r'text-anchor="start">50', html)


def test_tables_hold_value_interval_and_count():
    html = str(accuracy_table(MODELS, SCORES, [Column("agree", "V", "agrees", "On V"), Column("conflict", "V", "conflicts", "On V")], caption="c", note="n"))
    assert '<th scope="colgroup" colspan="2">On V</th>' in html
    assert "93.0" in html
    assert "90.0 to 95.0" in html
    assert "n&nbsp;100" in html
    assert html.count("not measured") == 2


def test_differences_are_signed_and_judged_by_their_interval():
    html = str(
        difference_table(
            [Difference("a − b", Estimate(0.05, -0.01, 0.11, 40), p_value=0.0004), Difference("c − b", Estimate(-0.1, -0.2, -0.02, 40))], caption="c"
        )
    )
    assert "+5.0" in html
    assert "−1.0 to +11.0" in html
    assert "no difference that this run can show" in html
    assert "−10.0" in html
    assert "lower; the interval excludes zero" in html
    assert "&lt; 0.001" in html


def test_p_values_have_a_column_only_where_there_are_any():
    assert ">p</abbr>" not in str(difference_table([Difference("a", Estimate(0.1, 0.0, 0.2))], caption="c"))
