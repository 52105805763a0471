#!/bin/sh
# Runs $PROGRAM until the process $PARENT ends: a test binary has no last word in which it
# could end what all of its tests share.
"$PROGRAM" "$@" &
program=$!
while kill -0 "$PARENT" 2>/dev/null && kill -0 "$program" 2>/dev/null; do
    sleep 0.2
done
kill -KILL "$program" 2>/dev/null
