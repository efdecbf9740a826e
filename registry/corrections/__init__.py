"""Corrections of annotations: from values on the command line or an edited COCO file to lines in git."""
