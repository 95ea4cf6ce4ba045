"""The web page `onlooker serve`: classify clips with a model, teach it with examples, correct it.

Begin with `app`; `look` classifies, `teach` and
`project` edit the clips, `training` trains.
"""
