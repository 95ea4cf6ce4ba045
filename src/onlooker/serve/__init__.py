"""The web page `onlooker serve`: classify clips with a model, teach it with examples, correct it.

It uses public names of the library alone. Begin with `app`; `look` classifies, `teach` and
`project` edit the clips, `training` trains.
"""
