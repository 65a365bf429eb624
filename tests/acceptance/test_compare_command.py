def test_two_releases_are_compared_in_words_numbers_and_on_a_page(
    milepost, improved, tmp_path, is_valid
):
    done = milepost.ok("-w", improved, "compare", "route", "1", "2", "--output", "page.html")
    assert "Release 2 is better by" in done.out
    assert "Won by release 2" in done.out
    assert all(len(line) <= 80 for line in done.out.splitlines())
    page = (tmp_path / "page.html").read_text()
    assert "<script" not in page
    assert "http:" not in page.replace("http://www.w3.org", "")
    assert page.count("<figure") == 2
    found = milepost.ok("-w", improved, "compare", "route", "1", "2", "--json").json
    is_valid(found, "compare")
    assert found["told"] == "better"
    assert found["counts"]["n"] == 54
    assert found["comparison"]["difference"] > 0.3


def test_both_are_asked_about_a_labelled_file(milepost, improved, tickets):
    found = milepost.ok(
        "-w", improved, "compare", "route", "tfidf_linear", "production",
        "--on", tickets / "tickets_later.csv",
        "--json",
    ).json  # fmt: skip
    assert found["counts"]["n"] > 10
    assert found["first"]["fresh"] == found["second"]["fresh"] == found["counts"]["n"]


def test_unknown_names_and_twice_the_same_are_refused(milepost, improved, is_refusal):
    is_refusal(milepost("-w", improved, "compare", "route", "1", "tfidf_liner"), "tfidf_linear")
    is_refusal(milepost("-w", improved, "compare", "route", "2", "production"), "the same")
    is_refusal(milepost("-w", improved, "compare", "rout", "1", "2"), "route")
