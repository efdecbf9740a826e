"""Git and DVC: the registry at a revision, its versions, the check of a release."""
