"""The regional quality filter: from public corpora to a training set with a record of its making.

    spec, mapping    a filter as YAML          plan, work_folder   its parts, and what is done of them
    sources/         rows of a source          examples            rows -> examples
    region_rules     F_rf(x, r)                pictures            decoded, hashed
    deduplication    repeated examples         held_out/           evaluation sets that may not enter
    scorers/         reward models             translation         examples in further languages
    screener         an example alone          stages              order and models
    rows             the typed row             pipeline, output    all of it, then the output folder
    tally, report    counts, and what of them

Importing a module loads neither torch nor `datasets`.
"""
