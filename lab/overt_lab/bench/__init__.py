"""`overt bench`: what the whole system does with a clip, beside what peers do with it, on the machine at hand."""
