"""The regional quality filter: from public corpora to a training set that says what it is.

    spec         what is asked, as YAML          mapping, ready   columns of a source -> examples
    sources      rows, in parts of fixed extent  example          what flows through the stages
    cells        a row's values, by their type   builder          rows -> examples
    region       evidence that a row is regional pictures         bytes, checked and hashed
    signatures   what makes two rows alike       duplicates       the index of what was seen
    scorers      reward models                   translation      examples in further languages
    part         the stages of one part          run              all parts, in order, resumable
    tally        counts and samples              report, chart    what was kept, and why not

Importing a module loads neither torch nor `datasets`.
"""
