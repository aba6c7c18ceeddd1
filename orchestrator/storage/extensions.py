"""What an extension says a file is: data, one line each, read by `filetypes`.

Columns: extension, category, media type, shape, and where there is one the bytes that such a file
begins with. Shapes: `text`; `zip` (a zip archive inside); `ole` (an OLE2 document); `binary`.
"""

TABLE = r"""
png      image      image/png                       binary  \x89PNG
jpg      image      image/jpeg                      binary  \xff\xd8\xff
jpeg     image      image/jpeg                      binary  \xff\xd8\xff
gif      image      image/gif                       binary  GIF8
bmp      image      image/bmp                       binary  BM
webp     image      image/webp                      binary  RIFF
tif      image      image/tiff                      binary
tiff     image      image/tiff                      binary
ico      image      image/vnd.microsoft.icon        binary  \x00\x00\x01\x00
svg      image      image/svg+xml                   text
avif     image      image/avif                      binary
heic     image      image/heic                      binary
heif     image      image/heif                      binary
jp2      image      image/jp2                       binary
psd      image      image/vnd.adobe.photoshop       binary  8BPS
ppm      image      image/x-portable-pixmap         binary
pgm      image      image/x-portable-graymap        binary
pbm      image      image/x-portable-bitmap         binary
tga      image      image/x-tga                     binary
exr      image      image/x-exr                     binary  \x76\x2f\x31\x01
hdr      image      image/vnd.radiance              binary  #?
eps      image      application/postscript          binary  %!PS
xcf      image      image/x-xcf                     binary  gimp
csv      data       text/csv                        text
tsv      data       text/tab-separated-values       text
tab      data       text/tab-separated-values       text
psv      data       text/plain                      text
jsonl    data       application/x-ndjson            text
ndjson   data       application/x-ndjson            text
xlsx     data       application/vnd.openxmlformats-officedocument.spreadsheetml.sheet  zip
xlsm     data       application/vnd.ms-excel.sheet.macroEnabled.12                     zip
xlsb     data       application/vnd.ms-excel.sheet.binary.macroEnabled.12              zip
xls      data       application/vnd.ms-excel        ole
ods      data       application/vnd.oasis.opendocument.spreadsheet                     zip
parquet  data       application/vnd.apache.parquet  binary  PAR1
feather  data       application/vnd.apache.arrow.file    binary
arrow    data       application/vnd.apache.arrow.file    binary
arrows   data       application/vnd.apache.arrow.stream  binary
ipc      data       application/vnd.apache.arrow.file    binary
orc      data       application/vnd.apache.orc      binary  ORC
avro     data       application/avro                binary  Obj\x01
dta      data       application/x-stata-dta         binary
sas7bdat data       application/x-sas-data          binary
xpt      data       application/x-sas-xport         binary  HEADER
sav      data       application/x-spss-sav          binary  $FL
zsav     data       application/x-spss-sav          binary  $FL
por      data       application/x-spss-por          text
arff     data       text/x-arff                     text
libsvm   data       text/plain                      text
dat      data       application/octet-stream        any
rds      data       application/x-r-data            any
rdata    data       application/x-r-data            any
txt      text       text/plain                      text
text     text       text/plain                      text
md       text       text/markdown                   text
markdown text       text/markdown                   text
rst      text       text/x-rst                      text
log      text       text/plain                      text
out      text       text/plain                      any
err      text       text/plain                      text
adoc     text       text/asciidoc                   text
org      text       text/x-org                      text
srt      text       application/x-subrip            text
vtt      text       text/vtt                        text
diff     text       text/x-diff                     text
patch    text       text/x-diff                     text
bib      text       application/x-bibtex            text
ics      text       text/calendar                   text
vcf      text       text/vcard                      text
eml      text       message/rfc822                  text
po       text       text/x-gettext-translation      text
json     structured application/json                text
json5    structured application/json5               text
jsonld   structured application/ld+json             text
yaml     structured application/yaml                text
yml      structured application/yaml                text
toml     structured application/toml                text
xml      structured application/xml                 text
xsd      structured application/xml                 text
xsl      structured application/xslt+xml            text
xslt     structured application/xslt+xml            text
ini      structured text/plain                      text
cfg      structured text/plain                      text
conf     structured text/plain                      text
env      structured text/plain                      text
properties structured text/x-java-properties        text
plist    structured application/x-plist             any
msgpack  structured application/vnd.msgpack         binary
cbor     structured application/cbor                binary
bson     structured application/bson                binary
proto    structured text/x-protobuf                 text
rdf      structured application/rdf+xml             text
ttl      structured text/turtle                     text
nt       structured application/n-triples           text
graphml  structured application/graphml+xml         text
gexf     structured application/gexf+xml            text
gml      structured text/plain                      text
gv       structured text/vnd.graphviz               text
html     html       text/html                       text
htm      html       text/html                       text
xhtml    html       application/xhtml+xml           text
mhtml    html       multipart/related               text
pdf      pdf        application/pdf                 binary  %PDF
py       code       text/x-python                   text
pyi      code       text/x-python                   text
pyx      code       text/x-cython                   text
js       code       text/javascript                 text
mjs      code       text/javascript                 text
jsx      code       text/jsx                        text
ts       code       text/x-typescript               text
tsx      code       text/x-typescript               text
css      code       text/css                        text
scss     code       text/x-scss                     text
less     code       text/x-less                     text
sql      code       application/sql                 text
sh       code       application/x-sh                text
bash     code       application/x-sh                text
zsh      code       application/x-sh                text
ps1      code       text/x-powershell               text
bat      code       text/x-batch                    text
c        code       text/x-c                        text
h        code       text/x-c                        text
cpp      code       text/x-c++                      text
cc       code       text/x-c++                      text
hpp      code       text/x-c++                      text
cs       code       text/x-csharp                   text
java     code       text/x-java                     text
kt       code       text/x-kotlin                   text
scala    code       text/x-scala                    text
go       code       text/x-go                       text
rs       code       text/x-rust                     text
rb       code       text/x-ruby                     text
php      code       text/x-php                      text
pl       code       text/x-perl                     text
lua      code       text/x-lua                      text
r        code       text/x-r                        text
jl       code       text/x-julia                    text
m        code       text/x-matlab                   text
f90      code       text/x-fortran                  text
swift    code       text/x-swift                    text
hs       code       text/x-haskell                  text
ex       code       text/x-elixir                   text
vue      code       text/x-vue                      text
tex      code       text/x-tex                      text
stan     code       text/x-stan                     text
wasm     code       application/wasm                binary  \x00asm
pyc      code       application/x-python-code       binary
zip      archive    application/zip                 zip
tar      archive    application/x-tar               binary
gz       archive    application/gzip                binary  \x1f\x8b
tgz      archive    application/gzip                binary  \x1f\x8b
tar.gz   archive    application/gzip                binary  \x1f\x8b
bz2      archive    application/x-bzip2             binary  BZh
tbz2     archive    application/x-bzip2             binary  BZh
tar.bz2  archive    application/x-bzip2             binary  BZh
xz       archive    application/x-xz                binary  \xfd7zXZ\x00
txz      archive    application/x-xz                binary  \xfd7zXZ\x00
tar.xz   archive    application/x-xz                binary  \xfd7zXZ\x00
zst      archive    application/zstd                binary  \x28\xb5\x2f\xfd
tar.zst  archive    application/zstd                binary  \x28\xb5\x2f\xfd
lz4      archive    application/x-lz4               binary  \x04\x22\x4d\x18
7z       archive    application/x-7z-compressed     binary  7z\xbc\xaf
rar      archive    application/vnd.rar             binary  Rar!
jar      archive    application/java-archive        zip
whl      archive    application/zip                 zip
deb      archive    application/vnd.debian.binary-package  binary  !<arch>
iso      archive    application/x-iso9660-image     binary
db       database   application/vnd.sqlite3         binary  SQLite\x20format\x203
db3      database   application/vnd.sqlite3         binary  SQLite\x20format\x203
sqlite   database   application/vnd.sqlite3         binary  SQLite\x20format\x203
sqlite3  database   application/vnd.sqlite3         binary  SQLite\x20format\x203
duckdb   database   application/vnd.duckdb          binary
mdb      database   application/vnd.ms-access       binary
accdb    database   application/vnd.ms-access       binary
dbf      database   application/vnd.dbf             binary
h5       scientific application/x-hdf5              binary  \x89HDF
hdf5     scientific application/x-hdf5              binary  \x89HDF
hdf      scientific application/x-hdf               binary
he5      scientific application/x-hdf5              binary  \x89HDF
nc       scientific application/netcdf              binary
nc4      scientific application/netcdf              binary  \x89HDF
cdf      scientific application/netcdf              binary
npy      scientific application/x-npy               binary  \x93NUMPY
npz      scientific application/x-npz               zip
mat      scientific application/x-matlab-data       binary
fits     scientific application/fits                binary  SIMPLE
fit      scientific application/fits                binary
zarr     scientific application/x-zarr              any
grib     scientific application/grib                binary  GRIB
grb2     scientific application/grib                binary  GRIB
root     scientific application/x-root              binary  root
edf      scientific application/x-edf               binary
nii      scientific application/x-nifti             binary
nii.gz   scientific application/x-nifti             binary  \x1f\x8b
dcm      scientific application/dicom               binary
pdb      scientific chemical/x-pdb                  text
cif      scientific chemical/x-cif                  text
mol      scientific chemical/x-mdl-molfile          text
sdf      scientific chemical/x-mdl-sdfile           text
xyz      scientific chemical/x-xyz                  text
smi      scientific chemical/x-daylight-smiles      text
fasta    scientific text/x-fasta                    text
fa       scientific text/x-fasta                    text
fastq    scientific text/x-fastq                    text
bam      scientific application/x-bam               binary  \x1f\x8b
bed      scientific text/x-bed                      text
doc      document   application/msword              ole
docx     document   application/vnd.openxmlformats-officedocument.wordprocessingml.document    zip
odt      document   application/vnd.oasis.opendocument.text                                    zip
rtf      document   application/rtf                 text
ppt      document   application/vnd.ms-powerpoint   ole
pptx     document   application/vnd.openxmlformats-officedocument.presentationml.presentation  zip
odp      document   application/vnd.oasis.opendocument.presentation                            zip
odg      document   application/vnd.oasis.opendocument.graphics                                zip
epub     document   application/epub+zip            zip
mobi     document   application/x-mobipocket-ebook  binary
ps       document   application/postscript          text
djvu     document   image/vnd.djvu                  binary
vsdx     document   application/vnd.ms-visio.drawing.main+xml  zip
msg      document   application/vnd.ms-outlook      ole
ipynb    notebook   application/x-ipynb+json        text
rmd      notebook   text/x-r-markdown               text
qmd      notebook   text/x-quarto                   text
mp3      audio      audio/mpeg                      binary
wav      audio      audio/wav                       binary  RIFF
flac     audio      audio/flac                      binary  fLaC
ogg      audio      audio/ogg                       binary  OggS
oga      audio      audio/ogg                       binary  OggS
opus     audio      audio/ogg                       binary  OggS
m4a      audio      audio/mp4                       binary
aac      audio      audio/aac                       binary
aiff     audio      audio/aiff                      binary  FORM
aif      audio      audio/aiff                      binary  FORM
wma      audio      audio/x-ms-wma                  binary
mid      audio      audio/midi                      binary  MThd
midi     audio      audio/midi                      binary  MThd
au       audio      audio/basic                     binary  .snd
mp4      video      video/mp4                       binary
m4v      video      video/x-m4v                     binary
mov      video      video/quicktime                 binary
avi      video      video/x-msvideo                 binary  RIFF
mkv      video      video/matroska                  binary  \x1aE\xdf\xa3
webm     video      video/webm                      binary  \x1aE\xdf\xa3
mpg      video      video/mpeg                      binary
mpeg     video      video/mpeg                      binary
wmv      video      video/x-ms-wmv                  binary
flv      video      video/x-flv                     binary  FLV
ogv      video      video/ogg                       binary  OggS
3gp      video      video/3gpp                      binary
geojson  geo        application/geo+json            text
topojson geo        application/json                text
shp      geo        application/vnd.shp             binary  \x00\x00\x27\x0a
shx      geo        application/vnd.shx             binary  \x00\x00\x27\x0a
prj      geo        text/plain                      text
kml      geo        application/vnd.google-earth.kml+xml  text
kmz      geo        application/vnd.google-earth.kmz      zip
gpx      geo        application/gpx+xml             text
gpkg     geo        application/geopackage+sqlite3  binary  SQLite\x20format\x203
mbtiles  geo        application/vnd.mapbox-vector-tile    binary  SQLite\x20format\x203
las      geo        application/vnd.las             binary  LASF
laz      geo        application/vnd.laszip          binary  LASF
pkl      model      application/x-pickle            binary
pickle   model      application/x-pickle            binary
joblib   model      application/x-joblib            binary
pt       model      application/x-pytorch           any
pth      model      application/x-pytorch           any
onnx     model      application/onnx                binary
safetensors model   application/x-safetensors       binary
keras    model      application/x-keras             zip
pb       model      application/x-protobuf          binary
tflite   model      application/x-tflite            binary
gguf     model      application/x-gguf              binary  GGUF
ubj      model      application/ubjson              binary
cbm      model      application/x-catboost          binary
pmml     model      application/xml                 text
stl      model      model/stl                       any
obj      model      model/obj                       text
ply      model      application/x-ply               any
gltf     model      model/gltf+json                 text
glb      model      model/gltf-binary               binary  glTF
ttf      font       font/ttf                        binary
otf      font       font/otf                        binary  OTTO
woff     font       font/woff                       binary  wOFF
woff2    font       font/woff2                      binary  wOF2
ttc      font       font/collection                 binary  ttcf
bin      file       application/octet-stream        any
exe      file       application/vnd.microsoft.portable-executable  binary  MZ
dll      file       application/vnd.microsoft.portable-executable  binary  MZ
so       file       application/x-sharedlib         binary  \x7fELF
o        file       application/x-object            binary  \x7fELF
"""

NAMES = {
    "dockerfile": ("code", "text/x-dockerfile"),
    "makefile": ("code", "text/x-makefile"),
    "cmakelists.txt": ("code", "text/x-cmake"),
    "requirements.txt": ("text", "text/plain"),
    "readme": ("text", "text/plain"),
    "license": ("text", "text/plain"),
    "changelog": ("text", "text/plain"),
}
"""Whole names, lower case, that say more than their extension."""
