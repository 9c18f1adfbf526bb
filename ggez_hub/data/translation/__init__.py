"""Translation augmentation: examples in further languages, checked before they enter."""
