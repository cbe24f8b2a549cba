"""Better annotators out of annotations: demonstrations chosen for a prompt, students that cost nothing.

Knows nothing of how annotations were obtained. Import what you need from its modules; they load numpy.
"""
