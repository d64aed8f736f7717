"""The command line: the outermost layer, above flows, tasks and callsheet."""
