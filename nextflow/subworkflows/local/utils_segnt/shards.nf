/*
 * Functions on the shard table and on meta maps, for the workflow and the subworkflows.
 */

// The rows of a shard table, as lists: shard, group, contig, start, end.
def shard_rows(table) {
    return table.readLines().findAll { line -> line && !line.startsWith('#') }.collect { line -> line.split('\t') }
}

// Bases of rows of a shard table.
def bases_of(rows) {
    return rows.sum { row -> row[4].toLong() - row[3].toLong() }
}

// The shards of a table: what each adds to the meta map.
def read_shards(table) {
    def rows = shard_rows(table)
    def shards = rows.groupBy { row -> row[0].toInteger() }
    def groups = rows.groupBy { row -> row[1].toInteger() }
    def group_bases = groups.collectEntries { group, members -> [group, bases_of(members)] }
    def group_shards = groups.collectEntries { group, members -> [group, members.collect { row -> row[0] }.unique().size()] }
    return shards.collect { number, pieces ->
        def group = pieces[0][1].toInteger()
        [
            shard: number,
            shards: shards.size(),
            shard_bases: bases_of(pieces),
            group: group,
            groups: groups.size(),
            group_shards: group_shards[group],
            group_bases: group_bases[group],
        ]
    }
}

// The part of a meta map that says which sample it is.
def sample_of(meta) {
    return meta.subMap(['id', 'model', 'genetic_code', 'bases'])
}

// The part that says which group of which sample it is.
def group_of(meta) {
    return sample_of(meta) + meta.subMap(['group', 'groups', 'group_bases'])
}

// Tasks end in any order; a fixed one keeps -resume from seeing a change.
def in_order(files) {
    return files.sort(false) { path -> path.name }
}
