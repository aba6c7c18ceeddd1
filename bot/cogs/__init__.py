"""Slash and context commands, thin skins over the rooms beside this folder."""
