"""Pages of HTML: what a report and a server show is drawn here. Nothing here prints, and nothing here asks the network."""
