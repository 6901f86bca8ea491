"""The dashboard: pages for members, curators and admins, rendered on the server.

`rights` says who may open which page, `visitor` who looks, `rendering` how a template becomes a
page; each other module is one noun with its pages, and its templates are in a folder of that name.
"""
