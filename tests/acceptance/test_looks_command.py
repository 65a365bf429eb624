"""``milepost looks``, and what happens to those who have looked too often."""


def _limit(workspace, looks: int) -> None:
    file = workspace / "milepost.toml"
    text = file.read_text()
    assert "# most_looks = 50" in text
    file.write_text(text.replace("# most_looks = 50", f"most_looks = {looks}"))


def test_looks_are_listed_with_who_when_what_for_and_what_is_left(milepost, improved):
    found = milepost.ok("-w", improved, "looks", "route", "--json").json
    assert [look["look"] for look in found["taken"]] == [1, 2]
    assert {look["verdict"] for look in found["taken"]} == {"released"}
    assert all(look["actor"] and look["contest"] and look["at"] for look in found["taken"])
    assert found["taken"][1]["alpha"] > found["taken"][0]["alpha"]  # the first handed on
    assert (found["used"], found["most"], round(found["left"], 9)) == (2, 50, 0.05)
    shown = milepost.ok("-w", improved, "looks", "route").out
    told = " ".join(shown.split())
    assert (
        "2 looks of at most 50 at these messages; 5 % of error is left for later looks, of" in told
    )
    assert max(map(len, shown.splitlines())) <= 80
    nobody = milepost("-w", improved, "looks", "rout")
    assert nobody.code == 2
    assert "Did you mean 'route'?" in nobody.err


def test_worn_out_labels_warn_and_are_then_refused_before_anything_is_fitted(
    milepost, improved, is_refusal
):
    _limit(improved, 3)
    last = milepost("-w", improved, "improve", "route", "--strategy", "tfidf_linear")
    assert last.code in (0, 1), last.err
    assert "Looks: 3 of 3 used; label new examples." in last.out
    before = milepost.ok("-w", improved, "looks", "route", "--json").json
    refused = milepost("-w", improved, "improve", "route", "--strategy", "tfidf_linear")
    is_refusal(refused, "worn out", "3 contests have looked", "Label 55 new messages, above all `")
    assert milepost.ok("-w", improved, "looks", "route", "--json").json == before
    assert "worn out" in milepost.ok("-w", improved, "looks", "route").out
    milepost.ok("-w", improved, "predict", "route", "where is my parcel")
