"""Tapes and Values for people: lists, traces, JSON, pictures. Floor 9."""
