import importlib.util

import pytest

from ggez_hub.errors import GgezError, MissingExtra, UsageProblem
from ggez_hub.regions import alpha
from ggez_hub.regions.kof import load_series, releases
from ggez_hub.regions.kof_import import import_release, read_table, write_release

HAS_OPENPYXL = importlib.util.find_spec("openpyxl") is not None


def test_a_release_survives_the_round_trip(user_data, kof_file):
    added = import_release(kof_file())
    assert (added.name, added.series) == ("2026", ("KOFIpGIdf",))
    assert added.folder == user_data / "2026"
    assert [release.name for release in releases()] == ["2025", "2026"]
    shipped, imported = load_series(), load_series(release="2026")
    assert set(imported.values) == {"th", "ro", "tl", "WLD"}
    for key in imported.values:
        for year in (2022, 2023):
            assert imported.value(key, year) == shipped.value(key, year)
    factor = alpha("sea", release="2026")
    assert (factor.release, factor.members) == ("2026", ("th", "tl"))


def test_an_import_changes_no_result_unasked(user_data, kof_file):
    before = alpha("th")
    import_release(kof_file([("THA", "Thailand", 2030, 99)]))
    assert alpha("th") == before
    assert alpha("th", release="2026").value == 0.99


def test_another_index_of_the_same_shape(user_data, kof_file):
    path = kof_file(
        [("THA", "", 2020, 10), ("VNM", "", 2021, 30.5)],
        name="openness.csv",
        header=("code", "country", "year", "OPEN"),
    )
    import_release(path, "openness")
    assert alpha("vn", series="OPEN", release="openness").value == 0.305
    assert alpha("sea", 2021, series="OPEN", release="openness").members == ("vn",)


def test_the_shipped_files_are_what_the_import_writes(tmp_path, user_data):
    shipped = releases()[0]
    for name in shipped.series:
        series = load_series(name)
        rows = {
            key: {
                series.first_year + at: value for at, value in enumerate(row) if value is not None
            }
            for key, row in series.values.items()
        }
        write_release({name: rows}, tmp_path)
        written = (tmp_path / f"{name}.json").read_text(encoding="utf-8")
        assert written == (shipped.folder / f"{name}.json").read_text(encoding="utf-8")


BAD_ROWS = [
    ([("THA", "", 2023, 12), ("XYZ", "", 2023, 12)], "line 3, code: 'XYZ'"),
    ([("THA", "", 2023, "many")], "line 2, KOFIpGIdf: 'many'"),
    ([("THA", "", 2023, 101)], "line 2, KOFIpGIdf: '101'"),
    ([("THA", "", 2023, "nan")], "line 2, KOFIpGIdf: 'nan'"),
    ([("THA", "", "last", 12)], "line 2, year: 'last'"),
    ([("THA", "", 2023, 12), ("THA", "", 2023, 13)], "line 3: THA 2023 is in line 2"),
    ([("TMP", "", 2023, 12), ("TLS", "", 2023, 12)], "line 3: TLS 2023 is in line 2"),
    ([("THA", "", 2023)], "line 2: 3 cells under 4 columns"),
    ([("THA", "", 2023, "")], "has no values"),
    ([], "has no values"),
]


@pytest.mark.parametrize(("rows", "message"), BAD_ROWS)
def test_bad_rows_are_named_and_nothing_is_written(user_data, kof_file, rows, message):
    with pytest.raises(UsageProblem, match=message):
        import_release(kof_file(rows))
    assert not user_data.exists()


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (("iso", "country", "year", "KOFGI"), "line 1: there is no column 'code'"),
        (("code", "country", "year"), "line 1: there is no series"),
        (("code", "country", "year", "../up"), "line 1: '../up' is not a name"),
        (("code", "country", "year", "KOFGI", "KOFGI"), "line 1: 'KOFGI' is not a name"),
    ],
)
def test_bad_headers_are_named(user_data, kof_file, header, message):
    with pytest.raises(UsageProblem, match=message):
        import_release(kof_file([], header=header))
    assert not user_data.exists()


def test_files_that_are_no_tables(user_data, tmp_path):
    binary = tmp_path / "kof_2026.csv"
    binary.write_bytes(b"code,country,year,KOFGI\nTHA,\xff\xfe,2023,1\n")
    empty = tmp_path / "empty_2026.csv"
    empty.touch()
    text = tmp_path / "kof_2026.txt"
    text.touch()
    for path in (binary, empty, text):
        with pytest.raises(UsageProblem, match=path.name):
            import_release(path)
    assert not user_data.exists()


def test_a_byte_order_mark_is_no_part_of_the_first_column(kof_file):
    path = kof_file()
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read_table(path)["KOFIpGIdf"]["th"]


def test_a_release_is_never_added_to(user_data, kof_file):
    import_release(kof_file())
    with pytest.raises(UsageProblem, match="'2026' already"):
        import_release(kof_file([("VNM", "", 2023, 12)]))
    with pytest.raises(UsageProblem, match="'2025' already"):
        import_release(kof_file(), "2025")
    assert set(load_series(release="2026").values) == {"th", "ro", "tl", "WLD"}


@pytest.mark.parametrize("name", ["../up", "", ".hidden", "a/b"])
def test_a_release_has_a_plain_name(user_data, kof_file, name):
    with pytest.raises(UsageProblem, match="cannot be the name"):
        import_release(kof_file(), name)


def test_a_file_name_without_a_year_needs_a_release(user_data, kof_file):
    with pytest.raises(UsageProblem, match="does not say which release"):
        import_release(kof_file(name="globalisation.csv"))


def test_a_damaged_release_is_named(user_data, kof_file):
    added = import_release(kof_file(), "damaged")
    (added.folder / "KOFIpGIdf.json").write_text("{", encoding="utf-8")
    with pytest.raises(GgezError, match="is damaged"):
        load_series(release="damaged")


@pytest.mark.skipif(HAS_OPENPYXL, reason="openpyxl is installed")
def test_without_openpyxl_excel_files_name_the_fix(user_data, tmp_path):
    path = tmp_path / "kof_2026.xlsx"
    path.touch()
    with pytest.raises(MissingExtra) as caught:
        import_release(path)
    assert "pip install openpyxl" in caught.value.hint


@pytest.mark.skipif(not HAS_OPENPYXL, reason="openpyxl is not installed")
def test_an_excel_file_reads_like_a_csv_file(user_data, tmp_path):
    import openpyxl

    book = openpyxl.Workbook()
    for row in (
        ("code", "country", "year", "KOFIpGIdf"),
        ("THA", "Thailand", 2022, 36.5),
        ("THA", "Thailand", 2023, None),
        ("TMP", "Timor-Leste", 2023, 43),
    ):
        book.active.append(row)
    path = tmp_path / "KOFGI_2026_public.xlsx"
    book.save(path)
    assert import_release(path).name == "2026"
    table = load_series(release="2026")
    assert [table.value("th", year) for year in (2022, 2023)] == [36.5, None]
    assert table.value("tl", 2023) == 43.0
    broken = tmp_path / "broken_2027.xlsx"
    broken.write_bytes(b"not a workbook")
    with pytest.raises(UsageProblem, match="not an Excel workbook"):
        import_release(broken)
