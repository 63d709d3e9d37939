# The comment on a pull request, from the JSON report. Text of the target stands in code, without backticks and
# line feeds, so that it can make neither links nor mentions.
def code: "`" + (tostring | gsub("[`\\p{Cc}]"; "?") | .[0:200]) + "`";
def place: .path + ([.entries[]?] | map("!" + .) | join("")) + ":" + (.line | tostring);
def row: "| " + .severity + " | " + (.rule | code) + " | "
    + (.locations[0] | place | gsub("\\|"; "¦") | code)
    + (if (.locations | length) > 1 then " and \((.locations | length) - 1) more" else "" end) + " |";
"<!-- keyturn -->",
"**Keyturn: \(.verdict.status)**, \(.verdict.blocking) blocking"
    + (if .verdict.skipped > 0 then ", \(.verdict.skipped) parts not seen" else "" end),
"",
([.findings[] | select(.action == "block")] | if length == 0 then empty else
    "| severity | rule | where |", "|---|---|---|", (.[0:20][] | row),
    (if length > 20 then "", "and \(length - 20) more" else empty end)
end)
