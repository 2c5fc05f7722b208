"""Arrays and groups as nodes of a hierarchy: paths, metadata documents, attributes, trees."""
