"""A local web page on which strokes are painted and refined; needs Gradio."""
