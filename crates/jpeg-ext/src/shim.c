/* Two calls over libjpeg-turbo: a file's header, and its pixels (scaled, in part). Errors, and warnings that mean
 * damage, end a call at once and come back as a code and text; nothing is printed, nothing exits. */

#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>

/* What became of a call. */
enum { JX_OK = 0, JX_DAMAGED = 1, JX_CUT_SHORT = 2, JX_UNSUPPORTED = 3, JX_MEMORY = 4, JX_SCANS = 5 };

struct jx_header {
  uint32_t width, height;
  /* Columns of the smallest unit of decoding, unscaled. */
  uint32_t unit_width;
  /* Four channels of ink, rather than grey or colour. */
  uint8_t is_cmyk;
  /* Coded without a transform: decoded only as a whole. */
  uint8_t is_lossless;
  /* Coded in several scans. */
  uint8_t is_progressive;
};

struct jx_region {
  uint32_t x, y, width, height;
};

struct jx_manager {
  struct jpeg_error_mgr base;
  jmp_buf escape;
  char *message;
  /* A progressive scan did not refine what was there before it. */
  int is_bogus_progression;
};

struct jx_progress {
  struct jpeg_progress_mgr base;
  int max_scans;
};

static void jx_text(j_common_ptr cinfo, char *message) {
  cinfo->err->format_message(cinfo, message);
}

static void jx_error_exit(j_common_ptr cinfo) {
  struct jx_manager *manager = (struct jx_manager *)cinfo->err;
  jx_text(cinfo, manager->message);
  longjmp(manager->escape, 1);
}

/* The library warns and continues where it could give up. Each of its warnings is decided here: what spoils no pixel
 * passes, as it does in Pillow; damage ends the call, since what follows it is noise, and a file of many scans would
 * be minutes of it. */
static void jx_emit_message(j_common_ptr cinfo, int level) {
  struct jx_manager *manager = (struct jx_manager *)cinfo->err;
  if (level >= 0) return;
  switch (cinfo->err->msg_code) {
    /* Bytes that belong to no segment, such as other programs put between them: they are skipped. */
    case JWRN_EXTRANEOUS_DATA:
    /* An Adobe segment whose color transform is neither 0, 1 nor 2: taken for the usual one. */
    case JWRN_ADOBE_XFORM:
    /* A JFIF version from the future. */
    case JWRN_JFIF_MAJOR:
    /* A color profile in pieces that do not fit together: profiles are not applied. */
    case JWRN_BOGUS_ICC:
    /* Spectral selection or bit positions in the header of a sequential scan (some cameras write zeros), which do not
     * apply there: they are ignored. */
    case JWRN_NOT_SEQUENTIAL:
      return;
    /* A progressive scan that comes twice, or before which one is missing: its data are added to what is there. */
    case JWRN_BOGUS_PROGRESSION:
      manager->is_bogus_progression = 1;
      return;
    /* The entropy-coded data end before the blocks do. */
    case JWRN_HIT_MARKER:
    /* They hold a code that the table does not have. */
    case JWRN_HUFF_BAD_CODE:
    case JWRN_ARITH_BAD_CODE:
      /* How many codes a refinement has depends on the coefficients before it, which differ from the encoder's where a
       * scan comes twice or is missing. */
      if (manager->is_bogus_progression) return;
      break;
    /* They hold another restart marker than the one that is due. */
    case JWRN_MUST_RESYNC:
    /* The file ends before its end-of-image marker. */
    case JWRN_JPEG_EOF:
    /* More rows are requested than there are: a mistake of this file. */
    case JWRN_TOO_MUCH_DATA:
    /* What a later version may warn of. */
    default:
      break;
  }
  jx_error_exit(cinfo);
}

static void jx_output_message(j_common_ptr cinfo) { (void)cinfo; }

static void jx_count_scans(j_common_ptr cinfo) {
  struct jx_progress *progress = (struct jx_progress *)cinfo->progress;
  if (cinfo->is_decompressor && ((j_decompress_ptr)cinfo)->input_scan_number > progress->max_scans) {
    struct jx_manager *manager = (struct jx_manager *)cinfo->err;
    snprintf(manager->message, JMSG_LENGTH_MAX, "it has more than %d scans", progress->max_scans);
    cinfo->err->msg_code = -1;
    longjmp(manager->escape, 1);
  }
}

/* The code for the error that `msg_code` names. */
static int jx_status(int msg_code) {
  switch (msg_code) {
    case -1:
      return JX_SCANS;
    case JERR_INPUT_EOF:
    case JERR_INPUT_EMPTY:
    case JWRN_JPEG_EOF:
      return JX_CUT_SHORT;
    case JERR_OUT_OF_MEMORY:
    case JERR_NO_BACKING_STORE:
      return JX_MEMORY;
    case JERR_BAD_PRECISION:
    case JERR_CONVERSION_NOTIMPL:
    case JERR_NOTIMPL:
    case JERR_NOT_COMPILED:
    case JERR_ARITH_NOTIMPL:
    case JERR_SOF_UNSUPPORTED:
    case JERR_CCIR601_NOTIMPL:
    case JERR_FRACT_SAMPLE_NOTIMPL:
      return JX_UNSUPPORTED;
    default:
      return JX_DAMAGED;
  }
}

static void jx_begin(struct jpeg_decompress_struct *cinfo, struct jx_manager *manager, char *message) {
  cinfo->err = jpeg_std_error(&manager->base);
  manager->base.error_exit = jx_error_exit;
  manager->base.emit_message = jx_emit_message;
  manager->base.output_message = jx_output_message;
  manager->message = message;
  manager->is_bogus_progression = 0;
  message[0] = 0;
}

/* `message` has room for JMSG_LENGTH_MAX (200) bytes. */
int jx_read_header(const uint8_t *data, size_t length, struct jx_header *header, char *message) {
  struct jpeg_decompress_struct cinfo;
  struct jx_manager manager;
  memset(&cinfo, 0, sizeof(cinfo));
  jx_begin(&cinfo, &manager, message);
  if (setjmp(manager.escape)) {
    int status = jx_status(cinfo.err->msg_code);
    jpeg_destroy_decompress(&cinfo);
    return status;
  }
  jpeg_create_decompress(&cinfo);
  jpeg_mem_src(&cinfo, data, length);
  jpeg_read_header(&cinfo, TRUE);
  if (cinfo.data_precision != BITS_IN_JSAMPLE) ERREXIT1(&cinfo, JERR_BAD_PRECISION, cinfo.data_precision);
  header->width = cinfo.image_width;
  header->height = cinfo.image_height;
  header->is_cmyk = cinfo.jpeg_color_space == JCS_CMYK || cinfo.jpeg_color_space == JCS_YCCK;
  {
    int component, factor = 1;
    for (component = 0; component < cinfo.num_components; component++)
      if (cinfo.comp_info[component].h_samp_factor > factor)
        factor = cinfo.comp_info[component].h_samp_factor;
    header->unit_width = DCTSIZE * (cinfo.num_components == 1 ? 1 : factor);
  }
  header->is_progressive = cinfo.progressive_mode != 0;
  /* The library ignores a scale it cannot decode at. */
  cinfo.scale_num = 1;
  cinfo.scale_denom = 8;
  jpeg_calc_output_dimensions(&cinfo);
  header->is_lossless = (cinfo.image_width > 1 || cinfo.image_height > 1) &&
                        cinfo.output_width == cinfo.image_width && cinfo.output_height == cinfo.image_height;
  jpeg_destroy_decompress(&cinfo);
  return JX_OK;
}

/* Decodes `region` of the image scaled by `eighths` / 8 into `out`, 3 (or for ink 4) bytes a pixel, rows without
 * gaps. `region->x` is a multiple of the scaled unit width. Rows below the region are not looked at. */
int jx_decode(const uint8_t *data, size_t length, uint32_t eighths, const struct jx_region *region, int is_cmyk,
              int max_scans, long max_memory, uint8_t *out, size_t out_length, char *message) {
  struct jpeg_decompress_struct cinfo;
  struct jx_manager manager;
  struct jx_progress progress;
  size_t pitch;
  memset(&cinfo, 0, sizeof(cinfo));
  memset(&progress, 0, sizeof(progress));
  jx_begin(&cinfo, &manager, message);
  if (setjmp(manager.escape)) {
    int status = jx_status(cinfo.err->msg_code);
    jpeg_destroy_decompress(&cinfo);
    return status;
  }
  jpeg_create_decompress(&cinfo);
  progress.base.progress_monitor = jx_count_scans;
  progress.max_scans = max_scans;
  cinfo.progress = &progress.base;
  cinfo.mem->max_memory_to_use = max_memory;
  jpeg_mem_src(&cinfo, data, length);
  jpeg_read_header(&cinfo, TRUE);
  cinfo.out_color_space = is_cmyk ? JCS_CMYK : JCS_RGB;
  cinfo.dct_method = JDCT_ISLOW;
  cinfo.do_fancy_upsampling = TRUE;
  cinfo.scale_num = eighths;
  cinfo.scale_denom = 8;
  jpeg_start_decompress(&cinfo);
  {
    JDIMENSION x = region->x, width = region->width;
    if (region->height == 0 || (uint64_t)region->y + region->height > cinfo.output_height || width == 0 ||
        (uint64_t)x + width > cinfo.output_width)
      ERREXIT(&cinfo, JERR_BAD_CROP_SPEC);
    if (x != 0 || width != cinfo.output_width) {
      jpeg_crop_scanline(&cinfo, &x, &width);
      if (x != region->x || width != region->width) ERREXIT(&cinfo, JERR_BAD_CROP_SPEC);
    }
  }
  pitch = (size_t)cinfo.output_width * cinfo.output_components;
  if (cinfo.output_components != (is_cmyk ? 4 : 3) || pitch * region->height > out_length)
    ERREXIT(&cinfo, JERR_BAD_CROP_SPEC);
  if (region->y != 0) jpeg_skip_scanlines(&cinfo, region->y);
  while (cinfo.output_scanline < region->y + region->height) {
    JSAMPROW rows[8];
    JDIMENSION at = cinfo.output_scanline - region->y, count = region->height - at, i;
    if (count > 8) count = 8;
    for (i = 0; i < count; i++) rows[i] = out + pitch * (at + i);
    if (jpeg_read_scanlines(&cinfo, rows, count) == 0) ERREXIT(&cinfo, JERR_CANT_SUSPEND);
  }
  jpeg_destroy_decompress(&cinfo);
  return JX_OK;
}
