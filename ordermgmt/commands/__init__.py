"""The commands of `ordermgmt`, by what they are about. They write through the services' own operations."""
